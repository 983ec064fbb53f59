"""What the book needs from Sphinx beyond its extensions.

- The repository's address, from pyproject.toml; the environment variable BOOK_REF names the branch or tag that the
  Colab buttons point at (a release sets its tag).
- {chapter}`05` and plain Markdown links to chapters: a link where the notebook exists, plain text where it doesn't yet.
- {chapter-map}: the list of all parts and chapters.
- Chapter numbers from the file names: Theorem 5.2 stands in 05_*.ipynb, whichever chapters exist.
- With BOOK_SOLUTIONS=hide, a site without the solutions of exercises, in pages, search and downloads, and without the
  buttons to the repository and to Colab, where they are.
"""

import os
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.util.docutils import SphinxDirective, SphinxRole

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import book_map
import hide_solutions

_NOTEBOOK_LINK = re.compile(r"(?:.*/)?(\d\d_\w+)(?:\.ipynb|\.md)?$")


def _planned(text):
    """Plain text that stands for a chapter without a notebook."""
    return nodes.inline("", text, classes=["chapter-planned"])


def _reference(env, chapter, text):
    """A link to the chapter's page, or its name as plain text."""
    target = f"notebooks/{chapter.slug}"
    if not chapter.written:
        return _planned(text)
    xref = addnodes.pending_xref(
        "", refdomain="std", reftype="doc", reftarget=f"/{target}", refexplicit=True, refdoc=env.docname, refwarn=True
    )
    xref += nodes.inline("", text, classes=["doc"])
    return xref


class ChapterRole(SphinxRole):
    """{chapter}`05`, or {chapter}`05_interpolation_smoothness`."""

    def run(self):
        _, chapters = book_map.load()
        found = [chapter for chapter in chapters if chapter.slug[:2] == self.text.strip()[:2].zfill(2)]
        if not found:
            message = self.inliner.reporter.error(f"book/chapters.toml has no chapter {self.text!r}", line=self.lineno)
            return [], [message]
        chapter = found[0]
        return [_reference(self.env, chapter, f"Chapter {chapter.number} ({chapter.title})")], []


class ChapterMap(SphinxDirective):
    """{chapter-map}: parts and chapters; those to come are marked."""

    def run(self):
        parts, chapters = book_map.load()
        result = []
        for number, title in parts.items():
            result.append(nodes.paragraph("", "", nodes.strong("", f"Part {number}. {title}")))
            listing = nodes.bullet_list(bullet="-", classes=["chapter-map"])
            for chapter in chapters:
                if chapter.part != number:
                    continue
                text = f"{chapter.number}. {chapter.title}"
                line = nodes.paragraph("", "", _reference(self.env, chapter, text))
                if not chapter.written:
                    line += nodes.inline("", " (to come)", classes=["chapter-planned"])
                listing += nodes.list_item("", line)
            result.append(listing)
        self.env.note_dependency(str(book_map.ROOT / "book" / "chapters.toml"))
        return result


def _unlink_planned(app, doctree):
    """Turn links to chapters of the map that have no notebook into plain text."""
    _, chapters = book_map.load()
    planned = {chapter.slug for chapter in chapters if not chapter.written}
    for node in list(doctree.findall(addnodes.pending_xref)):
        match = _NOTEBOOK_LINK.fullmatch(node.get("reftarget", ""))
        if match and match[1] in planned:
            node.replace_self(_planned(node.astext()))


def _keep_tags(app, doctree):
    r"""Leave formulas of several lines with a \tag as they are; Sphinx would wrap them in split, which forbids tags."""
    for node in doctree.findall(nodes.math_block):
        text = node.astext()
        if r"\tag" in text and r"\\" in text and not node.get("nowrap"):
            node["nowrap"] = True
            node.children = [nodes.Text(rf"\[{text}\]")]


def _number_chapters(env):
    """Put the number of the file's name in place of the running chapter number."""
    for docname, numbers in env.toc_secnumbers.items():
        match = _NOTEBOOK_LINK.fullmatch(docname)
        if not match:
            continue
        head = int(match[1][:2])
        for anchor, number in numbers.items():
            if number:
                numbers[anchor] = (head, *number[1:])
        for node in [*env.tocs[docname].findall(nodes.reference), env.titles[docname]]:
            if node.get("secnumber"):
                node["secnumber"] = [head, *node["secnumber"][1:]]


def _number_before_figures(collector, env, original=TocTreeCollector.assign_figure_numbers):
    """Sphinx numbers sections, then figures and theorems from them; the chapters' numbers go in between."""
    _number_chapters(env)
    return original(collector, env)


def _hide_solutions(app, docname, source):
    """Take the solutions out of what Sphinx reads."""
    if hide_solutions.hiding() and app.env.doc2path(docname).endswith(".ipynb"):
        source[0] = hide_solutions.strip_json(source[0], docname)


def _hide_in_downloads(app, error):
    """The same for the copies of the notebooks that the pages offer for download."""
    if hide_solutions.hiding() and error is None:
        for path in Path(app.outdir).rglob("*.ipynb"):
            path.write_text(hide_solutions.strip_json(path.read_text(encoding="utf-8"), path.name), encoding="utf-8")


def _configure(app, config):
    """Give the theme the repository's address and the branch or tag of this build."""
    repository, documentation = book_map.urls()
    config.html_baseurl = documentation
    config.html_theme_options["repository_url"] = repository
    config.html_theme_options["repository_branch"] = os.environ.get("BOOK_REF", "main")
    if hide_solutions.hiding():
        config.html_theme_options |= {"use_repository_button": False, "use_issues_button": False, "launch_buttons": {}}


def _without_thebe(app, pagename, templatename, context, doctree):
    """Leave out the script that would load from another host, since its button isn't offered."""
    for name in ("script_files", "css_files"):
        context[name] = [entry for entry in context.get(name, []) if "thebe" not in f"{entry} {vars(entry)}".lower()]


def _bibliography_roles(app, pagename, templatename, context, doctree):
    """Drop the role of a list from what holds the bibliography's entries, which aren't list items."""
    context["body"] = context.get("body", "").replace('<div role="list" class="citation-list">', "<div>")


def setup(app):
    """Register everything above."""
    app.add_role("chapter", ChapterRole())
    app.add_directive("chapter-map", ChapterMap)
    app.connect("config-inited", _configure)
    app.connect("source-read", _hide_solutions)
    app.connect("build-finished", _hide_in_downloads)
    app.connect("doctree-read", _unlink_planned)
    app.connect("doctree-read", _keep_tags)
    app.connect("html-page-context", _bibliography_roles, priority=900)
    app.connect("html-page-context", _without_thebe, priority=900)
    TocTreeCollector.assign_figure_numbers = _number_before_figures
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
