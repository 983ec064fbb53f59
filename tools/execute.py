"""Bring each notebook and its text together, run it, store its outputs: `make execute [CHAPTER=NN]`.

The text in notebooks/text and the notebook hold the same cells. Where they differ the one saved last wins, and that is
said. A notebook that fails is not stored.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import book_map
import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = book_map.ROOT / "notebooks"
TEXT_FORMAT = "md:myst"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LIMIT = 1800  # seconds for one cell: far above any chapter's, so that only a hang meets it


def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what the text must agree with: kind, source and tags of each cell."""
    return [(cell.cell_type, cell.source.rstrip(), tuple(cell.metadata.get("tags", ()))) for cell in notebook.cells]


def paired(slug: str) -> nbformat.NotebookNode:
    """Return the notebook of the text and the .ipynb, whichever was saved last."""
    text, stored = NOTEBOOKS / "text" / f"{slug}.md", NOTEBOOKS / f"{slug}.ipynb"
    if not text.exists():
        print(f"{slug}: no text yet; it is written from the notebook")
        return nbformat.read(stored, as_version=4)
    written = jupytext.read(text, fmt=TEXT_FORMAT)
    if not stored.exists():
        return written
    notebook = nbformat.read(stored, as_version=4)
    if cells(written) == cells(notebook):
        return notebook
    if stored.stat().st_mtime > text.stat().st_mtime:
        print(f"{slug}: the notebook was saved after its text, so its cells count")
        return notebook
    print(f"{slug}: the text was saved after the notebook, so its cells count")
    return combine_inputs_with_outputs(written, notebook, fmt=TEXT_FORMAT)


def execute(slug: str) -> bool:
    """Run one chapter and store it; on an error say where and store nothing."""
    notebook = paired(slug)
    notebook.metadata["kernelspec"] = KERNEL
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    start = last = time.monotonic()

    def progress(cell, cell_index, execute_reply):
        nonlocal last
        now = time.monotonic()
        place = code.index(cell_index) + 1
        if now - last > 2 or place == len(code):
            print(f"{slug}: cell {place} of {len(code)}, {now - last:.0f} s, {now - start:.0f} s in all", flush=True)
        last = now

    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        record_timing=False,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        on_cell_executed=progress,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        print(f"{slug}: FAILED, nothing stored\n{error}")
        return False
    # The kernel reports its patch version, which differs between machines and says nothing about the chapter.
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    nbformat.write(notebook, NOTEBOOKS / f"{slug}.ipynb")
    jupytext.write(notebook, NOTEBOOKS / "text" / f"{slug}.md", fmt=TEXT_FORMAT)
    export_pictures(notebook)
    size = (NOTEBOOKS / f"{slug}.ipynb").stat().st_size
    print(f"{slug}: stored, {size / 1000:.0f} kB, {time.monotonic() - start:.0f} s")
    return True


def export_pictures(notebook: nbformat.NotebookNode) -> None:
    """Write the picture of each cell tagged export-NAME to book/static/NAME.svg, for pages that are no notebooks."""
    for cell in notebook.cells:
        names = [tag.removeprefix("export-") for tag in cell.metadata.get("tags", ()) if tag.startswith("export-")]
        for name in names:
            html = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
            encoded = re.search(r'src="data:image/svg\+xml,([^"]+)"', html)
            if encoded is None:
                raise ValueError(f"the cell tagged export-{name} shows no picture; end it with nh.show(...)")
            (book_map.ROOT / "book" / "static" / f"{name}.svg").write_text(unquote(encoded[1]))


def main() -> int:
    """Run the named chapters, or all."""
    os.environ["TQDM_DISABLE"] = "1"  # inherited by the kernels: a bar in the output would differ on every machine
    (NOTEBOOKS / "text").mkdir(exist_ok=True)
    known = {path.stem for folder in (NOTEBOOKS, NOTEBOOKS / "text") for path in Path(folder).glob("[0-9][0-9]_*.*")}
    wanted = [name.zfill(2) for name in sys.argv[1:]]
    chosen = sorted(slug for slug in known if not wanted or slug.startswith(tuple(wanted)))
    if not chosen:
        print(f"no such chapter: {' '.join(wanted)}; there are: {', '.join(sorted(known))}")
        return 2
    failed = [slug for slug in chosen if not execute(slug)]
    # The scoreboard shows what the notebooks measured, so it follows them.
    subprocess.run([sys.executable, str(Path(__file__).with_name("scoreboard.py"))], check=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
