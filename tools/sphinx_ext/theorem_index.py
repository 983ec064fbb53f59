"""Theorems can be found: by the search, in the index, and in a list of all of them.

- A domain of its own gives each theorem's name to the search and to objects.inv.
- Each name is an entry of the general index.
- {theorem-index} lists all of them with their numbers, chapter by chapter.
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.domains import Domain, ObjType
from sphinx.util.docutils import SphinxDirective

KINDS = ("theorem", "lemma", "proposition", "corollary", "definition")


class TheoremDomain(Domain):
    """Names and places of theorems; data["found"] maps an anchor to (page, kind, name)."""

    name, label = "ntk", "NTK book"
    object_types = {kind: ObjType(kind, "ref") for kind in KINDS}  # noqa: RUF012 - as Sphinx asks for it
    initial_data = {"found": {}}  # noqa: RUF012

    def clear_doc(self, docname):
        found = self.data["found"]
        self.data["found"] = {anchor: entry for anchor, entry in found.items() if entry[0] != docname}

    def merge_domaindata(self, docnames, otherdata):
        self.data["found"] |= {a: entry for a, entry in otherdata["found"].items() if entry[0] in docnames}

    def get_objects(self):
        for anchor, (docname, kind, name) in self.data["found"].items():
            yield name, name, kind, docname, anchor, 1


def _collect(app, doctree):
    """Remember the theorems of a page and put their names into the general index."""
    found = app.env.get_domain("ntk").data["found"]
    for node in list(doctree.findall(lambda n: n.get("realtype") in KINDS if isinstance(n, nodes.Element) else False)):
        name = node.get("title", "").strip().removeprefix("(").removesuffix(")")
        if not name or not node["ids"]:
            continue
        found[node["label"]] = (app.env.docname, node["realtype"], name)
        entry = ("single", f"{name} ({node['realtype']})", node["label"], "", None)
        node.parent.insert(node.parent.index(node), addnodes.index(entries=[entry]))


class theorem_list(nodes.General, nodes.Element):
    """Stands for the list until all pages are read and numbered."""


class TheoremIndex(SphinxDirective):
    """{theorem-index}: all theorems with number, name and chapter."""

    def run(self):
        # Its content changes with other pages.
        self.env.note_reread()
        return [theorem_list()]


def _number(env, docname, kind, anchor) -> str:
    """A theorem's number as the page shows it."""
    numbers = env.toc_fignumbers.get(docname, {}).get(kind, {}).get(anchor, ())
    return ".".join(map(str, numbers))


def _fill(app, doctree, docname):
    """Put the list in its place."""
    env = app.env
    for place in list(doctree.findall(theorem_list)):
        found = env.get_domain("ntk").data["found"]
        listing = nodes.bullet_list(bullet="-")
        for anchor, (page, kind, name) in sorted(found.items(), key=lambda item: item[1]):
            number = _number(env, page, kind, anchor)
            uri = app.builder.get_relative_uri(docname, page)
            text = f"{kind.capitalize()} {number}".rstrip()
            link = nodes.reference("", text, refuri=f"{uri}#{anchor}", internal=True)
            chapter = nodes.reference("", env.titles[page].astext(), refuri=uri, internal=True)
            line = nodes.paragraph("", "", link, nodes.Text(f". {name}. In "), chapter, nodes.Text("."))
            listing += nodes.list_item("", line)
        place.replace_self(listing)


def setup(app):
    """Register everything above."""
    app.add_domain(TheoremDomain)
    app.add_node(theorem_list)
    app.add_directive("theorem-index", TheoremIndex)
    app.connect("doctree-read", _collect)
    app.connect("doctree-resolved", _fill)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
