"""On every page: Colab, the notebook and a citation; and the scripts that make reading easier.

Below the title stands a line of links, at the end a BibTeX entry. Figures can be enlarged (zoom.js), references show
what they refer to (preview.js), the scoreboard can be filtered (filter.js) and folded parts are printed (printing.js).
Each page is complete without any of the scripts.
"""

import re
from html import escape

import book_map
import hide_solutions

SCRIPTS = ("zoom.js", "preview.js", "filter.js", "printing.js")
CHAPTER = re.compile(r"notebooks/((\d\d)_\w+)")
# Pages that Sphinx writes by itself, or that are no text to cite.
NOT_CITED = {"search", "genindex", "404"}


def bibtex(pagename: str, title: str, *, year: str, book: str, authors: str, version: str, url: str) -> str:
    """The BibTeX entry of a page; the front page stands for the book."""
    chapter = CHAPTER.fullmatch(pagename)
    whole = pagename == "book/intro"
    fields = {"author": f"{{{authors}}}", "title": book if whole else title}
    if not whole:
        fields["booktitle"] = book
    if chapter:
        fields["chapter"] = str(int(chapter[2]))
    fields |= {"year": year, "note": f"Version {version}", "url": url}
    key = "ntkbook" if whole else "ntkbook-" + (chapter[2] if chapter else pagename.rsplit("/", 1)[-1])
    lines = [f"  {name:<9} = {{{text}}}" for name, text in fields.items()]
    return f"@{'book' if whole else 'incollection'}{{{key},\n" + ",\n".join(lines) + "\n}"


def _plain_title(context) -> str:
    """The page's title without marks, without its number and without signs of TeX."""
    text = re.sub(r'<span class="section-number">.*?</span>|<[^>]+>', "", context["title"])
    return text.strip()


def _tools(app, pagename, repository, ref) -> str:
    """The line below the title."""
    links = []
    if CHAPTER.fullmatch(pagename):
        colab = repository.replace("https://github.com/", "https://colab.research.google.com/github/")
        up = "../" * pagename.count("/")
        if not hide_solutions.hiding():  # Colab opens the notebook of the repository, with its solutions
            links.append(f'<a href="{escape(colab)}/blob/{escape(ref)}/{pagename}.ipynb">Open in Colab</a>')
        links.append(f'<a href="{up}_sources/{pagename}.ipynb" download>Download notebook</a>')
    links.append('<a href="#cite-this-page">Cite this page</a>')
    items = "".join(f"<li>{link}</li>" for link in links)
    return f'<ul class="ntk-page-tools d-print-none" aria-label="This page">{items}</ul>'


def _citation(entry: str) -> str:
    """The entry, folded; a link to it unfolds it. The copy button comes from sphinx-copybutton."""
    return (
        '<details class="ntk-cite d-print-none"><summary>Cite this page</summary><div id="cite-this-page">'
        f'<div class="highlight-bibtex notranslate"><div class="highlight"><pre tabindex="0">{escape(entry)}</pre>'
        "</div></div></div></details>"
    )


def add(app, pagename, templatename, context, doctree):
    """Put both into the page's body."""
    if pagename in NOT_CITED or doctree is None or "</h1>" not in context.get("body", ""):
        return
    repository, documentation = book_map.urls()
    config = app.config
    entry = bibtex(
        pagename,
        _plain_title(context),
        year=re.search(r"\d{4}", config.copyright)[0],
        book=config.html_title,
        authors=config.author,
        version=book_map.project()["version"],
        url=f"{documentation}{pagename}.html",
    )
    tools = _tools(app, pagename, repository, config.html_theme_options.get("repository_branch", "main"))
    body = context["body"].replace("</h1>", f"</h1>\n{tools}", 1)
    end = body.rindex("</section>") if "</section>" in body else len(body)
    context["body"] = body[:end] + _citation(entry) + body[end:]


def setup(app):
    """Register the handler and the scripts."""
    for name in SCRIPTS:
        app.add_js_file(name, loading_method="defer")
    app.connect("html-page-context", add, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
