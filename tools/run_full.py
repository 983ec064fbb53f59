"""Run one chapter's own code cells at full scale, in resumable slices, and store what it measured.

python tools/run_full.py 01                                  full scale, slices of 8 minutes
python tools/run_full.py 01 --scale t4                       another scale; nothing is stored in book/
python tools/run_full.py 01 --config cpu --label "largest size this CPU does in 30 minutes"

Needs Python, the package and what the chapter imports: no Jupyter, no make, no network. A slice ends between two
stages (nh.stage) with exit code 75; the same command continues. When the chapter has run to its end the claims go to
book/results/NN_topic/full.json with device, versions, seeds, commit and run times. A failing claim exits with 1 and
stores nothing.
"""

import argparse
import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

CONTINUE = 75  # "temporary failure, try again" of sysexits.h


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapter", help="number or name: 01, 01_gp_at_initialization")
    parser.add_argument("--scale", default="full", choices=("quick", "t4", "full"))
    parser.add_argument("--config", help="which of the chapter's configurations (nh.configure), if not the scale's")
    parser.add_argument("--label", help='what the run was, shown to readers; "full scale" unless given')
    parser.add_argument("--slice-minutes", type=float, default=8.0, help="stop at the first stage after this time")
    parser.add_argument("--output", type=Path, help="where to write; book/results/NN_topic/full.json unless given")
    parser.add_argument("--notebooks", type=Path, help="folder of the notebooks, if not the book's")
    return parser.parse_args()


def find(chapter: str, folder: Path) -> tuple[str, list[str]]:
    """Name and code cells of a chapter: from the text, which people edit, or from the notebook."""
    import _notebooks

    texts = {p.stem: p for p in sorted((folder / "text").glob("*.md"))}
    stored = {p.stem: p for p in sorted(folder.glob("*.ipynb"))}
    names = [n for n in sorted({*texts, *stored}) if n == chapter or n.split("_")[0] == chapter.zfill(2)]
    if len(names) != 1:
        raise SystemExit(f"no chapter {chapter!r}; there are: {', '.join(sorted({*texts, *stored})) or 'none'}")
    name = names[0]
    if name in texts:
        return name, _notebooks.sources_of_text(texts[name])
    return name, [_notebooks.text(c["source"]) for c in _notebooks.code_cells(_notebooks.read(stored[name]))]


def plain(source: str) -> str:
    """A cell as a script runs it: lines with IPython's % and ! do nothing."""
    return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.M)


def run_cells(name: str, cells: list[str]) -> None:
    """Run the cells in one namespace, like a kernel does; errors name the cell."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    begin = time.monotonic()
    for number, source in enumerate(cells, start=1):
        first = next((line for line in source.splitlines() if line.strip()), "")
        print(f"[{time.monotonic() - begin:6.0f} s] cell {number} of {len(cells)}: {first[:80]}", flush=True)
        exec(compile(plain(source), f"<{name}, cell {number}>", "exec"), namespace)


def commit(root: Path) -> str:
    """The commit of the checkout, marked when files differ from it; plain words where there is no git."""
    try:
        git = ["git", "-C", str(root)]
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git checkout)"
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("ntk-helpers", "jax", "jaxlib", "numpy", "scipy", "optax", "scikit-learn", "neural-tangents"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def provenance(root: Path, label: str) -> dict[str, Any]:
    """All that is stored beside the claims."""
    import jax

    from ntk_helpers.bookkit import scale, session, stages

    config = session.current.config
    settings = dataclasses.asdict(config) if config is not None else {}
    device = jax.devices()[0]
    count = f"{jax.device_count()} x " if jax.device_count() > 1 else ""
    host = f"CPU, {os.cpu_count()} cores" if device.platform == "cpu" else device.device_kind
    return {
        "chapter": session.current.chapter,
        "scale": scale.scale(),
        "config_name": scale.config_name(),
        "label": label,
        "device": count + host,
        "versions": versions(),
        "commit": commit(root),
        "package_sha256": stages.package_fingerprint(),
        "config": settings,
        "seeds": {k: v for k, v in settings.items() if "seed" in k},
        "x64": bool(jax.config.jax_enable_x64),
        "stages": session.current.stages,
    }


def main() -> int:
    options = arguments()
    os.environ["NTK_SCALE"] = options.scale
    os.environ.setdefault("MPLBACKEND", "Agg")
    if options.config:
        os.environ["NTK_CONFIG"] = options.config
    sys.path.insert(0, str(Path(__file__).parent))
    import _notebooks

    from ntk_helpers.bookkit import session
    from ntk_helpers.bookkit.stages import SliceOver

    name, cells = find(options.chapter, options.notebooks or _notebooks.NOTEBOOKS)
    label = options.label or f"{options.scale} scale"
    begin = time.monotonic()
    session.current.deadline = begin + 60 * options.slice_minutes
    try:
        run_cells(name, cells)
    except SliceOver as over:
        done = len(session.current.stages)
        print(f"Slice over {over}; {done} stages are stored. Run the same command again to continue.", flush=True)
        return CONTINUE
    except Exception:
        traceback.print_exc()
        print(f"{name}: stopped by the error above; nothing is stored", flush=True)
        return 1
    result = provenance(_notebooks.ROOT, label)
    # Stages of earlier slices count with the time they took then.
    resumed = sum(s["seconds"] for s in result["stages"] if s["resumed"])
    result["seconds"] = round(time.monotonic() - begin + resumed, 1)
    result["claims"] = list(session.current.records.values())
    output = options.output
    if output is None and options.scale == "full":
        output = _notebooks.ROOT / "book" / "results" / name / "full.json"
    if output is None:
        print(
            f"{name}: {len(result['claims'])} claims measured at {options.scale} scale; --output FILE would keep them"
        )
        return 0
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{name}: {len(result['claims'])} claims stored in {output.name}, {result['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
