"""The site as a whole: what others see of a page, what it weighs, what can be found, and how it looks on paper."""

import gzip
import json
import re
from html import unescape
from xml.etree import ElementTree

import inspection
import pytest
from site_pages import HTML, built_pages

import ntk_helpers as nh

WRITTEN = [name for name in built_pages() if re.match(r"(book|notebooks)/", name)]
NOTHING = ["_build/html is empty: run make book"]
CHAPTER = "notebooks/05_interpolation_smoothness.html"
MAX_WEIGHT = 1_500_000


def attribute(text: str, pattern: str) -> list[str]:
    return [unescape(found) for found in re.findall(pattern, text)]


@pytest.mark.parametrize("name", WRITTEN or NOTHING)
def test_a_page_describes_itself(name):
    text = (HTML / name).read_text(encoding="utf-8")
    (canonical,) = attribute(text, r'<link rel="canonical" href="([^"]*)"')
    assert canonical.startswith("https://")
    assert canonical.endswith(f"/{name}")
    assert attribute(text, r'<meta property="og:url" content="([^"]*)"') == [canonical]
    (description,) = attribute(text, r'<meta name="description" content="([^"]*)"')
    assert 30 <= len(description) <= 210
    assert not re.search(r"[\\$]|\{", description), "TeX or markup in a description"
    (picture,) = attribute(text, r'<meta property="og:image" content="([^"]*)"')
    base = canonical.removesuffix(name)
    assert (HTML / picture.removeprefix(base)).is_file()


def test_descriptions_differ():
    pattern = r'<meta name="description" content="([^"]*)"'
    found = [attribute((HTML / name).read_text(encoding="utf-8"), pattern)[0] for name in WRITTEN]
    assert len(set(found)) == len(found) > 0


def test_the_sitemap_lists_every_page():
    places = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}
    found = ElementTree.parse(HTML / "sitemap.xml").findall("s:url/s:loc", places)
    paths = sorted(re.search(r"/((?:book|notebooks)/.*)$", loc.text)[1] for loc in found)
    assert paths == WRITTEN != []


def test_a_bad_address_is_answered(book, browser):
    with inspection.opened(browser, f"{book}/404.html", settle=False) as (page, faults):
        assert page.get_by_role("heading").inner_text() == "There is no page here"
        faults += inspection.accessibility(page, "light") + inspection.accessibility(page, "dark")
        faults += inspection.sideways(page)
        assert faults == []
        # The page is shown at any depth, so its links can't be relative; they lead to pages that exist.
        for address in page.locator("a").evaluate_all("links => links.map(a => a.href)"):
            assert (HTML / re.search(r"/((?:book/)?[\w-]+\.html)$", address)[1]).is_file()


def weight(browser, address) -> dict[str, int]:
    """Bytes of everything that a page loads, compressed, without the pictures."""
    sizes = {}
    with inspection.opened(browser, address) as (page, _):

        def add(response):
            kind = response.request.resource_type
            if kind == "image" or response.status != 200:
                return
            body = response.body()
            if kind == "document":
                body = re.sub(rb"data:image/[^\"']*", b"", body)
            # Fonts are compressed already.
            sizes[response.url] = len(body) if kind == "font" else len(gzip.compress(body, 9))

        page.on("response", add)
        page.reload()
        inspection.typeset(page)
        page.evaluate("() => document.fonts.ready.then(() => true)")
        page.wait_for_timeout(300)
    return sizes


@pytest.mark.parametrize("name", [CHAPTER, "book/scoreboard.html", "book/api/limits.html"])
def test_a_page_is_light(book, browser, name):
    sizes = weight(browser, f"{book}/{name}")
    print(f"{name}: {sum(sizes.values()) / 1000:.0f} kB")
    assert len(sizes) > 5
    assert sum(sizes.values()) <= MAX_WEIGHT, "\n".join(f"{size} {url}" for url, size in sizes.items())


def test_the_search_finds_a_theorem_by_its_name(book, browser):
    with inspection.opened(browser, f"{book}/search.html?q=smoothness+of+a+random+network") as (page, faults):
        link = page.locator("#search-results a[href$='#thm-smoothness']").first
        link.wait_for(timeout=10_000)
        assert faults == []


def test_every_theorem_is_listed_and_in_the_index():
    titles = []
    for name in WRITTEN:
        text = (HTML / name).read_text(encoding="utf-8")
        titles += re.findall(r'<span class="caption-number">(Theorem [\d.]+) ?</span> \(([^)]*)\)', text)
    listed = re.sub(r"<[^>]+>", "", (HTML / "book" / "theorems.html").read_text(encoding="utf-8"))
    index = (HTML / "genindex.html").read_text(encoding="utf-8")
    assert titles
    for number, title in titles:
        assert f"{number}. {title}." in listed
        assert f"{title} (theorem)" in index


def test_every_public_name_has_an_entry():
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (HTML / "book" / "api").glob("*.html")}
    overview = (HTML / "book" / "api.html").read_text(encoding="utf-8")
    for name in nh.__all__:
        rooms = [room for room, text in pages.items() if f'id="ntk_helpers.{name}"' in text]
        assert len(rooms) == 1, name
        assert f'href="api/{rooms[0]}.html#ntk_helpers.{name}"' in overview


def test_functions_and_chapters_link_each_other():
    """Chapter 5 calls nh.sphere_spectrum: found here by plain search, not by the scan of the extension."""
    source = json.loads((inspection.ROOT / "notebooks" / "05_interpolation_smoothness.ipynb").read_text())
    assert any("nh.sphere_spectrum(" in "".join(cell["source"]) for cell in source["cells"])
    chapter = (HTML / CHAPTER).read_text(encoding="utf-8")
    assert 'href="../book/api/limits.html#ntk_helpers.sphere_spectrum"' in chapter
    entry = (
        (HTML / "book" / "api" / "limits.html").read_text(encoding="utf-8").split('id="ntk_helpers.sphere_spectrum"')[1]
    )
    used = entry[entry.index("Used in") :].split("</p>")[0]
    assert 'href="../../notebooks/05_interpolation_smoothness.html"' in used


def test_the_glossary_is_found_by_the_search(book, browser):
    with inspection.opened(browser, f"{book}/search.html?q=mirrored+initialization") as (page, faults):
        page.locator("#search-results a[href*='glossary.html#term-mirrored-initialization']").first.wait_for(
            timeout=10_000
        )
        assert faults == []


@pytest.mark.parametrize("name", [CHAPTER, "book/scoreboard.html"])
def test_paper_shows_the_text_alone(book, browser, name):
    with inspection.opened(browser, f"{book}/{name}") as (page, faults):
        page.emulate_media(media="print", color_scheme="dark")
        page.set_viewport_size({"width": 700, "height": 1000})  # the width of a sheet between its margins
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        for part in (
            ".bd-header-article",
            ".bd-sidebar-primary",
            ".bd-sidebar-secondary",
            ".ntk-page-tools",
            ".copybtn",
        ):
            assert not any(e.is_visible() for e in page.locator(part).all()), part
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.querySelector('article p')).color") == "rgb(0, 0, 0)"
        assert page.locator("article details:not([open]):not(.ntk-cite)").count() == 0
        # What fades in is not there yet when the sheet is drawn.
        fading = "[...document.querySelectorAll('article *')].filter(e => getComputedStyle(e).animationName != 'none')"
        assert page.evaluate(f"{fading}.length") == 0
        wide = page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= 700, f"{wide} pixels on a sheet of 700"
        # Chromium tells the number of its sheets in the file.
        sheets = re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True, format="A4"))
        assert len(sheets) > 2
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("article details[open]").count() == 0
        assert faults == []
