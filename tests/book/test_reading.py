"""What a reader does beyond looking at one page: search, open files without a server, follow links, fetch notebooks."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import inspection
import pytest
from site_pages import HTML, ROOT, built_pages

FIRST = "book/intro.html"
TERM = "kernel"


def with_formulas() -> list[str]:
    """Return the built pages whose source has a formula."""
    return [name for name in built_pages() if 'class="math' in (HTML / name).read_text(encoding="utf-8")]


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_a_term(book, browser, scheme):
    base = book if scheme == "http" else HTML.as_uri()
    with inspection.opened(browser, f"{base}/search.html?q={TERM}") as (page, faults):
        page.wait_for_selector("#search-results li a", timeout=10_000)
        # From a file the browser lets no page read another, so the excerpts are missing there; the results are not.
        blocked = re.compile(r"CORS|ERR_FAILED|Failed to fetch|failed request: file:")
        told = [fault for fault in faults if scheme == "http" or not blocked.search(fault)]
        assert not told, "\n".join(told)
        link = page.locator("#search-results li a").first
        link.click()
        page.wait_for_load_state("load")
        assert TERM in page.inner_text("body").lower()


def test_formulas_render_from_a_file(browser):
    pages = with_formulas()
    assert pages, "no built page has a formula"
    with inspection.opened(browser, (HTML / pages[0]).as_uri()) as (page, faults):
        assert page.locator("mjx-container").count() > 0
        # The letters come from the vendored fonts, not from whatever the machine has.
        page.evaluate("() => document.fonts.ready.then(() => true)")
        assert page.evaluate("() => [...document.fonts].some(f => f.family.startsWith('MJX') && f.status === 'loaded')")
        assert faults + inspection.formulas(page) == []


class _Anchors(HTMLParser):
    """Collect what a page links to and the places that can be linked to."""

    def __init__(self):
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.targets.append(value)
            elif name == "id" or (name == "name" and tag == "a"):
                self.places.add(value)


def read(path: Path) -> _Anchors:
    parser = _Anchors()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def broken_links(root: Path, names: list[str]) -> list[str]:
    """Return the links within a folder of pages that lead nowhere."""
    anchors = cache(read)
    faults = []
    for name in names:
        page = root / name
        for target in anchors(page).targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not file.is_file():
                faults.append(f"{name}: {target} leads to no file")
                continue
            places = anchors(file).places if file.suffix == ".html" else set()
            if parts.fragment and unquote(parts.fragment) not in places:
                faults.append(f"{name}: {target} leads to no place on that page")
    return faults


def test_internal_links_resolve():
    assert broken_links(HTML, built_pages()) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here">1</a><a href="b.html#gone">2</a><img src="c.png">')
    (tmp_path / "b.html").write_text('<h1 id="here">B</h1><a href="https://example.org/x">elsewhere</a>')
    assert broken_links(tmp_path, ["a.html", "b.html"]) == [
        "a.html: b.html#gone leads to no place on that page",
        "a.html: c.png leads to no file",
    ]


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_page_offers_colab_and_download(notebook):
    page = HTML / "notebooks" / f"{notebook.stem}.html"
    text = page.read_text(encoding="utf-8")
    assert re.search(
        rf'href="https://colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/[\w.-]+/notebooks/{notebook.name}"',
        text,
    )
    offered = re.search(r'href="([^"]*_sources/[^"]*\.ipynb)"', text)
    assert offered, "no button downloads the notebook"
    assert (page.parent / offered[1]).resolve().read_bytes() == notebook.read_bytes()


def test_every_notebook_is_a_page():
    built = {Path(name).stem for name in built_pages()}
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} <= built


def test_first_page_leads_to_the_book():
    assert (HTML / FIRST).is_file()
    assert FIRST in (HTML / "index.html").read_text(encoding="utf-8")
