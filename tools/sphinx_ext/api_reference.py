"""The reference of the package, from its docstrings, with links both ways between functions and chapters.

- {api} limits: every public name of that room, by sphinx.ext.autodoc, each with the chapters that use it.
- {api-list} limits: the same names as a list, each with its first sentence.
- In code and in prose, `nh.name` links to its entry.
"""

import ast
import functools
import inspect
import json
import re
import sys

import book_map
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

ROOMS = ("limits", "finite", "predict", "bookkit")
_IN_CODE = re.compile(r'<span class="n">nh</span><span class="o">\.</span><span class="n">(\w+)</span>')
_IN_PROSE = re.compile(
    r'(?<!</a>)<code class="(docutils literal notranslate)"><span class="pre">nh\.(\w+)(\(?.*?)</span></code>'
)


@functools.lru_cache
def public() -> dict[str, str]:
    """Each public name of the package and the room it stands in."""
    if str(book_map.ROOT) not in sys.path:
        sys.path.insert(0, str(book_map.ROOT))
    import ntk_helpers as nh

    rooms = {}
    for name in nh.__all__:
        module = getattr(getattr(nh, name), "__module__", "") or ""
        part = [*module.split("."), "", ""][1]
        # Activations belong to both limits and networks; what has no module of ours is a name for a type.
        rooms[name] = part if part in ROOMS else "limits" if part == "activations" else "finite"
    return rooms


def names_in(code: str) -> set[str]:
    """The public names that Python code uses as nh.name or imports from the package."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nh":
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ntk_helpers":
            found |= {alias.name for alias in node.names}
    return found


@functools.lru_cache
def uses() -> dict[str, list[str]]:
    """For each name the numbers of the chapters that use it, in code or in prose."""
    _, chapters = book_map.load()
    found = {}
    for chapter in chapters:
        if not chapter.written:
            continue
        names = set()
        for cell in json.loads(chapter.notebook.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                # Magics and shell lines are no Python.
                names |= names_in(re.sub(r"^\s*[%!].*$", "pass", source, flags=re.M))
            else:
                names |= set(re.findall(r"`nh\.(\w+)", source))
        for name in names:
            found.setdefault(name, []).append(f"{chapter.number:02}")
    return found


def _kind(value) -> str:
    """Which directive of autodoc fits."""
    if inspect.isclass(value):
        return "autoclass" if not issubclass(value, BaseException) else "autoexception"
    return "autofunction" if callable(value) and inspect.isroutine(inspect.unwrap(value)) else "autodata"


class Api(SphinxDirective):
    """{api} ROOM."""

    required_arguments = 1

    def run(self):
        import ntk_helpers as nh

        room, text, files = self.arguments[0], [], set()
        for name, where in public().items():
            if where != room:
                continue
            value = getattr(nh, name)
            files.add(getattr(sys.modules.get(getattr(value, "__module__", "")), "__file__", None))
            text += ["```{eval-rst}", f".. {_kind(value)}:: ntk_helpers.{name}", "```", ""]
            numbers = uses().get(name, [])
            if numbers:
                text += ["Used in " + ", ".join(f"{{chapter}}`{number}`" for number in numbers) + ".", ""]
        for file in sorted(filter(None, files)):
            self.env.note_dependency(file)
        return self.parse_content(text)

    def parse_content(self, lines):
        """The nodes of MyST text."""
        node = nodes.section(document=self.state.document)
        self.state.nested_parse(StringList(lines, self.get_source_info()[0]), self.content_offset, node)
        return node.children


class ApiList(SphinxDirective):
    """{api-list} ROOM."""

    required_arguments = 1

    def run(self):
        import ntk_helpers as nh

        room = self.arguments[0]
        page = self.env.app.builder.get_relative_uri(self.env.docname, f"book/api/{room}")
        listing = nodes.bullet_list(bullet="-", classes=["ntk-names"])
        for name in sorted((n for n, where in public().items() if where == room), key=str.lower):
            first = (inspect.getdoc(getattr(nh, name)) or "").split("\n\n")[0].replace("\n", " ").replace("``", "")
            first = re.sub(r":math:`([^`]*)`", r"$\1$", first)
            link = nodes.reference("", "", nodes.literal("", name), refuri=f"{page}#ntk_helpers.{name}", internal=True)
            # What stands between dollars is every other part.
            parts = enumerate(f" {first}".split("$"))
            line = nodes.paragraph("", "", link, *[nodes.math(t, t) if i % 2 else nodes.Text(t) for i, t in parts])
            listing += nodes.list_item("", line)
        return [listing]


def link_names(html: str, pagename: str) -> str:
    """Link `nh.name` in code and prose to its entry."""
    up = "../" * pagename.count("/")

    def address(name):
        room = public().get(name)
        return f"{up}book/api/{room}.html#ntk_helpers.{name}" if room else None

    def in_code(match):
        where = address(match[1])
        return f'<a class="ntk-api" href="{where}">{match[0]}</a>' if where else match[0]

    def in_prose(match):
        where = address(match[2])
        return f'<a class="ntk-api" href="{where}">{match[0]}</a>' if where else match[0]

    return _IN_PROSE.sub(in_prose, _IN_CODE.sub(in_code, html))


def formulas(app, what, name, obj, options, lines):
    """Docstrings may set formulas between dollars, as chapters do."""
    lines[:] = [re.sub(r"\$([^$]+)\$", r":math:`\1`", line) for line in lines]


def plain_parameters(html: str) -> str:
    """Lay out the lines of a long signature as plain blocks: Sphinx makes them a list of definitions without terms."""

    def block(match):
        lines = match[1].replace("<dd>", '<span class="ntk-parameter">').replace("</dd>", "</span>")
        return f"<span>{lines}</span>"

    return re.sub(r'<dl>\s*((?:<dd><(?:em|span) class="sig-param.*?</dd>\s*)+)</dl>', block, html, flags=re.S)


def finish(app, pagename, templatename, context, doctree):
    """Link the names in the pages that people write; a page of the reference doesn't link its own examples."""
    if doctree is not None and re.match(r"(notebooks|book)/", pagename) and not pagename.startswith("book/api"):
        context["body"] = link_names(context["body"], pagename)
    if pagename.startswith("book/api/"):
        context["body"] = plain_parameters(context["body"])


def setup(app):
    """Register everything above."""
    app.add_directive("api", Api)
    app.add_directive("api-list", ApiList)
    app.connect("autodoc-process-docstring", formulas)
    app.connect("html-page-context", finish, priority=650)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
