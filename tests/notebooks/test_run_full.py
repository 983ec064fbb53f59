"""A full run is the chapter's own code, in slices that continue each other, with its provenance stored."""

import json
import os
import subprocess
import sys
from pathlib import Path

import _notebooks
import pytest
import run_full

ROOT = Path(__file__).resolve().parents[2]

CONTRACT = """
[full.sum]
paper = "ours"
source = "derived, eq. (1)"
statement = "the sum"
kind = "equals"
expected = 6.0
atol = 0.0
why = "exact"
scales = ["quick", "full"]
"""

TEXT = """---
kernelspec:
  name: python3
---

# A chapter

```{code-cell} ipython3
:tags: [setup]

import ntk_helpers as nh
if False:
    %pip install nothing
nh.chapter("90_demo")
```

```python
raise RuntimeError("an example in the text, not a cell")
```

```{code-cell} ipython3
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    n: int
    seed: int = 7

config = nh.configure(quick=Config(1), t4=Config(2), full=Config(3), cpu=Config(3, seed=8))
```

```{code-cell} ipython3
ones = nh.stage("ones", lambda: [1] * config.n)
```

```{code-cell} ipython3
total = nh.stage("total", lambda: float(sum(range(1, 1 + len(ones)))))
nh.claim("full.sum", total)
nh.claims_table()
```
"""


@pytest.fixture
def chapter(tmp_path):
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "book" / "claims" / "90_demo.toml").write_text(CONTRACT)
    (tmp_path / "notebooks" / "text").mkdir(parents=True)
    (tmp_path / "notebooks" / "text" / "90_demo.md").write_text(TEXT)
    return tmp_path


def run(folder, *arguments):
    environment = {
        **os.environ,
        "NTK_BOOK_DIR": str(folder / "book"),
        "NTK_BUILD_DIR": str(folder / "build"),
        "JAX_PLATFORMS": "cpu",
    }
    environment.pop("NTK_CONFIG", None)
    # What a machine without Jupyter has not.
    blocked = "import sys; sys.modules.update(dict.fromkeys(['IPython', 'nbformat', 'nbclient', 'jupytext']));"
    script = f"{blocked} sys.argv = {['run_full.py', *arguments]!r}; import runpy; "
    script += f"runpy.run_path({str(ROOT / 'tools' / 'run_full.py')!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)


def test_slices_continue_and_end_with_provenance(chapter):
    output = chapter / "full.json"
    common = ["90", "--notebooks", str(chapter / "notebooks"), "--output", str(output)]
    common += ["--slice-minutes", "0", "--config", "cpu", "--label", "largest size this CPU does"]
    for stage in ("ones", "total"):  # a slice of no length still computes the first stage that is missing
        done = run(chapter, *common)
        assert done.returncode == run_full.CONTINUE, done.stdout + done.stderr
        assert f"Slice over after stage '{stage}'" in done.stdout
        assert not output.exists()
    done = run(chapter, *common)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert [c["verdict"] for c in result["claims"]] == ["agrees"]
    assert result["claims"][0]["scale"] == "full"
    assert result["label"] == "largest size this CPU does"
    assert result["config"] == {"n": 3, "seed": 8}
    assert result["seeds"] == {"seed": 8}
    assert result["device"].startswith("CPU, ")
    assert {"python", "jax", "numpy"} <= set(result["versions"])
    assert [(s["name"], s["resumed"]) for s in result["stages"]] == [("ones", True), ("total", True)]
    for needed in ("commit", "package_sha256", "seconds", "x64", "chapter"):
        assert needed in result


def test_a_failing_claim_stores_nothing(chapter):
    contract = chapter / "book" / "claims" / "90_demo.toml"
    contract.write_text(CONTRACT.replace("expected = 6.0", "expected = 5.0"))
    output = chapter / "full.json"
    done = run(chapter, "90_demo", "--notebooks", str(chapter / "notebooks"), "--output", str(output))
    assert done.returncode == 1
    assert "ClaimFailed" in done.stderr
    assert not output.exists()


def test_cells_of_a_text_are_its_code_cells(tmp_path):
    path = tmp_path / "x.md"
    path.write_text(TEXT)
    cells = _notebooks.sources_of_text(path)
    assert len(cells) == 4
    assert cells[0].startswith("import ntk_helpers as nh\n")
    assert "    pass\n" in run_full.plain(cells[0])


def test_an_unknown_chapter_lists_the_known(chapter):
    with pytest.raises(SystemExit, match="there are: 90_demo"):
        run_full.find("91", chapter / "notebooks")
