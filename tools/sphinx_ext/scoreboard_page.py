"""{scoreboard-headline}: the numbers of the scoreboard in one line, as tools/scoreboard.py counted them."""

import re

import book_map
from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class ScoreboardHeadline(SphinxDirective):
    """A line that leads to the scoreboard."""

    def run(self):
        path = book_map.ROOT / "book" / "scoreboard.md"
        found = re.search(r"^\*\*(\d+ claims): (.*)\.\*\*$", path.read_text(encoding="utf-8"), flags=re.M)
        if not found:
            raise self.error(f"{path.name} has no line of the form **N claims: ...**")
        self.env.note_dependency(str(path))
        uri = self.env.app.builder.get_relative_uri(self.env.docname, "book/scoreboard")
        link = nodes.reference("", "", nodes.strong("", found[1]), refuri=uri, internal=True)
        return [nodes.paragraph("", "", link, nodes.Text(f": {found[2]}."), classes=["ntk-headline"])]


def setup(app):
    """Register the directive."""
    app.add_directive("scoreboard-headline", ScoreboardHeadline)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
