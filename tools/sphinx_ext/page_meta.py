"""What others see of a page: description and picture for link previews, the map of the site, the page for a bad link.

Sphinx writes the canonical address of each page itself, from html_baseurl.
"""

import re
from html import escape

from docutils import nodes

PICTURE = "_static/card.png"
PICTURE_ALT = (
    "Random functions of networks of width 4, 32 and 2048; the wide ones stay in the band of a Gaussian process"
)
DESCRIPTION = 200  # characters, about what a search engine shows

NOT_FOUND = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><link rel="icon" href="data:,">
<title>Page not found: {title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto; padding: 0 1.2rem; }}
h1 {{ font-weight: 500; }} li {{ margin: 0.4rem 0; }}
a {{ color: light-dark(#0b5a8f, #7cc0f0); }}
</style>
</head>
<body><main>
<h1>There is no page here</h1>
<p>It may have moved. These pages lead to all others:</p>
<ul>
<li><a href="{base}book/intro.html">The front page</a> of <cite>{title}</cite></li>
<li><a href="{base}search.html">Search</a></li>
<li><a href="{base}book/scoreboard.html">All claims</a>, <a href="{base}book/theorems.html">all theorems</a>,
<a href="{base}book/api.html">all functions</a></li>
</ul>
</main></body>
</html>
"""


def description(doctree) -> str:
    """The first sentences of a page: its first paragraph, cut at the end of a sentence or of a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        # A paragraph of a list, a table or a figure doesn't say what the page is about.
        if not isinstance(paragraph.parent, nodes.section) or next(paragraph.findall(nodes.math), None):
            continue
        text = re.sub(r"\s+", " ", paragraph.astext()).strip()
        if len(text) < 40:
            continue
        if len(text) <= DESCRIPTION:
            return text
        head = text[:DESCRIPTION]
        end = max(head.rfind(". "), head.rfind("? "))
        return head[: end + 1] if end > 80 else head[: head.rfind(" ")] + " …"
    return ""


def tags(title: str, text: str, url: str, base: str) -> str:
    """The elements of <head> that search engines and link previews read."""
    pairs = [
        ("name", "description", text),
        ("property", "og:type", "article"),
        ("property", "og:title", title),
        ("property", "og:description", text),
        ("property", "og:url", url),
        ("property", "og:image", base + PICTURE),
        ("property", "og:image:alt", PICTURE_ALT),
        ("name", "twitter:card", "summary_large_image"),
    ]
    return "".join(f'<meta {kind}="{name}" content="{escape(value)}">\n' for kind, name, value in pairs if value)


def add_tags(app, pagename, templatename, context, doctree):
    """Describe the page in its head."""
    if doctree is None:
        return
    base = app.config.html_baseurl
    title = re.sub(r"<[^>]+>", "", context.get("title", ""))
    text = description(doctree) or f"{title}, a page of {app.config.html_title}"
    context["metatags"] = context.get("metatags", "") + tags(title, text, f"{base}{pagename}.html", base)


def write_files(app, exception):
    """Write sitemap.xml and 404.html; a site on GitHub Pages shows the latter for any address it doesn't have."""
    if exception or app.builder.format != "html":
        return
    base = app.config.html_baseurl
    # The index of the site only leads on to its first page.
    pages = "".join(f"<url><loc>{escape(base)}{name}.html</loc></url>\n" for name in sorted(app.env.found_docs))
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    (app.outdir / "sitemap.xml").write_text(f"{head}{pages}</urlset>\n", encoding="utf-8")
    page = NOT_FOUND.format(base=escape(base), title=escape(app.config.html_title))
    (app.outdir / "404.html").write_text(page, encoding="utf-8")


def setup(app):
    """Register everything above."""
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", write_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
