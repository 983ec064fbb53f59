#!/usr/bin/env bash
# Run every chapter inside Colab's image: install what a chapter's set-up cell installs, from this checkout, see that
# JAX and NumPy stay as they are, execute the notebooks.
set -euo pipefail
cd "$(dirname "$0")/.."

versions() { python3 -c 'import importlib.metadata as m; print(*(f"{p}={m.version(p)}" for p in ("jax", "jaxlib", "numpy")))'; }

before="$(versions)"
start="$(date +%s)"
python3 -m pip install --quiet ".[data]"
python3 -m pip install --quiet --no-deps --requirement requirements-nt.txt
echo "set-up took $(($(date +%s) - start)) s; $before"
after="$(versions)"
if [ "$before" != "$after" ]; then
  echo "the set-up changed what Colab brings: $before -> $after"
  exit 1
fi
for notebook in notebooks/[0-9][0-9]_*.ipynb; do
  echo "$notebook"
  # From a folder elsewhere, so that the installed package is used and not the checkout.
  (cd /tmp && python3 -m jupyter nbconvert --to notebook --execute --ExecutePreprocessor.timeout=600 \
    --output-dir /tmp/executed "$OLDPWD/$notebook")
done
