"""Places and links that the notebooks' output has no words for.

- Each figure and each claim of a chapter is a place that can be linked to: #figure-5-1, #claim-topic-name.
- "Figure 5.1", "Theorem 5.1" and "(5.10)" in prose and in the tables of claims link to what they name.
- {claim}`05:topic.name` links to where the chapter measures it.
"""

import functools
import re

import book_map
import hide_solutions
from docutils import nodes
from sphinx.util.docutils import SphinxRole

MENTION = re.compile(r"\b(Figure|Theorem)\s(\d+)\.(\d+)\b|\((\d+)\.(\d+)\)")
_TAG = re.compile(r"(<!--.*?-->|<[^>]+>)", flags=re.S)
# A formula, and the number in front of a theorem.
_OWN_TEXT = re.compile(r'<(?:span|div) class="(?:math|caption-number)\b')
# In these, words name themselves, or are no prose.
_NOT_IN = {"a", "pre", "code", "script", "style", "svg", "h1", "h2", "h3", "figcaption", "button", "summary"}


def replace_in_prose(html: str, pattern: re.Pattern, make) -> str:
    """Replace matches in the text of HTML, not in its tags, in formulas, or in the elements of _NOT_IN."""
    depth, formula, parts = 0, None, []
    for part in _TAG.split(html):
        if part.startswith("<"):
            name = re.match(r"</?\s*([\w-]*)", part)[1].lower()
            if name in _NOT_IN:
                depth += -1 if part.startswith("</") else 1
            elif formula is None and _OWN_TEXT.match(part):
                formula = name
            elif part.startswith(f"</{formula}>"):
                formula = None
        elif depth == 0 and formula is None:
            part = pattern.sub(make, part)
        parts.append(part)
    return "".join(parts)


def claim_anchor(name: str) -> str:
    """The anchor of a claim: its id with hyphens for dots."""
    return "claim-" + name.replace(".", "-")


@functools.lru_cache
def places(slug: str) -> frozenset[str]:
    """The anchors that a chapter's page will have: of its figures, labelled formulas and theorem."""
    notebook = hide_solutions.as_built(book_map.ROOT / "notebooks" / f"{slug}.ipynb")
    found = set()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            found |= set(re.findall(r"^\(([\w-]+)\)=", source, flags=re.M))
            labels = re.findall(r"^:+\{prf:theorem\}[^\n]*\n:label: ([\w-]+)", source, flags=re.M)
            found |= {f"theorem-{n}={label}" for n, label in enumerate(labels, start=1)}
        for output in cell.get("outputs", []):
            html = "".join(output.get("data", {}).get("text/html", ""))
            found |= {f"figure-{a}-{b}" for a, b in re.findall(r"<figcaption>Figure (\d+)\.(\d+)\b", html)}
    return frozenset(found)


def address(pagename: str, kind: str, chapter: str, number: str) -> str | None:
    """Where a mention leads, as seen from a page; None where there is no such place."""
    _, chapters = book_map.load()
    slugs = [c.slug for c in chapters if c.number == int(chapter) and c.written]
    if not slugs:
        return None
    known = places(slugs[0])
    anchor = f"{kind}-{int(chapter)}-{number}"
    if kind == "theorem":
        anchor = next((p.split("=")[1] for p in known if p.startswith(f"theorem-{number}=")), "")
    elif anchor not in known:
        return None
    page = f"notebooks/{slugs[0]}"
    here = "" if page == pagename else "../" * pagename.count("/") + page + ".html"
    return f"{here}#{anchor}" if anchor else None


def link_mentions(html: str, pagename: str) -> str:
    """Make links of the mentions in a page."""

    def make(match):
        word, a, b, c, d = match.groups()
        where = address(pagename, word.lower(), a, b) if word else address(pagename, "eq", c, d)
        if where is None:
            return match[0]
        return f'<a class="reference internal" href="{where}">{match[0]}</a>'

    return replace_in_prose(html, MENTION, make)


def add_anchors(html: str) -> str:
    """Give figures and the first row of each claim an id."""
    html = re.sub(
        r'<figure class="(ntk-figure[^"]*)"(?=(?:(?!</figure>).)*?<figcaption>Figure (\d+)\.(\d+)\b)',
        r'<figure id="figure-\2-\3" class="\1"',
        html,
        flags=re.S,
    )
    seen = set()

    def anchor(match):
        if match[1] in seen:
            return match[0]
        seen.add(match[1])
        return f'<br><code id="{claim_anchor(match[1])}">{match[1]}</code>'

    return re.sub(r"<br><code>([\w.]+\.[\w.]+)</code>", anchor, html)


def finish(app, pagename, templatename, context, doctree):
    """Anchors, then links, in the pages that people write."""
    if doctree is not None and re.match(r"(notebooks|book)/", pagename):
        context["body"] = link_mentions(add_anchors(context["body"]), pagename)


class ClaimRole(SphinxRole):
    """{claim}`05:topic.name`."""

    def run(self):
        number, name = self.text.split(":")
        _, chapters = book_map.load()
        found = [chapter for chapter in chapters if chapter.number == int(number)]
        shown = nodes.literal("", name)
        if not found or not found[0].written:
            return [shown], []
        page = self.env.app.builder.get_relative_uri(self.env.docname, f"notebooks/{found[0].slug}")
        return [nodes.reference("", "", shown, refuri=f"{page}#{claim_anchor(name)}", internal=True)], []


def setup(app):
    """Register the role and the handler; it runs before others put their own links into the page."""
    app.add_role("claim", ClaimRole())
    app.connect("html-page-context", finish, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
