"""The numbers of a figure, to download: a link below each figure whose notebook stores them.

``nh.show`` and ``nh.slider`` store what they draw as text/csv beside the picture (ntk_helpers/bookkit/plotted.py). Here
each becomes a file of its own, _data/05-figure-2.csv. A chapter that was executed before has pictures without data; its
figures get no link until it is executed again.
"""

import re

import book_map
import hide_solutions

FIGURE = '<figure class="ntk-figure'


def stored(notebook: dict) -> list[str | None]:
    """For each figure of a notebook, in order, its data or None."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = {kind: "".join(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")}
            if FIGURE in data.get("text/html", ""):
                found.append(data.get("text/csv"))
    return found


def add_links(app, pagename, templatename, context, doctree):
    """Write the files of a chapter and link them below their figures."""
    path = book_map.ROOT / f"{pagename}.ipynb"
    if not re.fullmatch(r"notebooks/\d\d_\w+", pagename) or not path.is_file():
        return
    tables = stored(hide_solutions.as_built(path))
    head, *figures = context["body"].split(FIGURE)
    if len(figures) != len(tables):
        raise ValueError(f"{pagename}: {len(tables)} figures in the notebook, {len(figures)} on its page")
    folder = app.outdir / "_data"
    parts = [head]
    for number, (figure, table) in enumerate(zip(figures, tables, strict=True), start=1):
        if table is not None:
            folder.mkdir(exist_ok=True)
            name = f"{path.stem[:2]}-figure-{number}.csv"
            (folder / name).write_text(table, encoding="utf-8")
            link = f'<a class="ntk-button" href="../_data/{name}" download>Data (CSV)</a>'
            figure = figure.replace("</figure>", f'<div class="ntk-figure-tools">{link}</div></figure>', 1)
        parts.append(figure)
    context["body"] = FIGURE.join(parts)


def setup(app):
    """Register the handler."""
    # Before cross_links.py, which gives figures their ids.
    app.connect("html-page-context", add_links, priority=550)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
