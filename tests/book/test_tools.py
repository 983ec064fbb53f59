"""What the pages offer beyond their text works with a keyboard, and the pages are complete without it."""

import re

import inspection
import pytest
from site_pages import HTML, built_pages

CHAPTER = "notebooks/05_interpolation_smoothness.html"
SCOREBOARD = "book/scoreboard.html"
WRITTEN = [name for name in built_pages() if re.match(r"(book|notebooks)/", name)]


@pytest.mark.parametrize("name", WRITTEN or ["_build/html is empty: run make book"])
def test_a_page_can_be_cited(name):
    text = (HTML / name).read_text(encoding="utf-8")
    entry = re.search(r'id="cite-this-page">.*?<pre[^>]*>(.*?)</pre>', text, flags=re.S)[1]
    assert re.match(r"@(incollection|book)\{ntkbook[\w-]*,\n", entry)
    assert entry.count("{") == entry.count("}"), entry
    assert re.search(rf"url\s+= \{{https://[^}}]*/{re.escape(name)}\}}", entry), entry
    assert re.search(r"year\s+= \{\d{4}\}", entry)
    assert "&lt;" not in entry, "a title with marks in it"
    assert 'href="#cite-this-page"' in text


def test_the_link_unfolds_the_citation_and_it_can_be_copied(book, browser):
    with inspection.opened(browser, f"{book}/{CHAPTER}") as (page, faults):
        assert not page.locator("#cite-this-page pre").is_visible()
        page.get_by_role("link", name="Cite this page").focus()
        page.keyboard.press("Enter")
        assert page.locator("#cite-this-page pre").is_visible()
        assert page.locator("#cite-this-page button.copybtn").count() == 1
        assert faults == []


def test_a_figure_is_enlarged_by_keyboard_and_put_back(book, browser):
    with inspection.opened(browser, f"{book}/{CHAPTER}") as (page, faults):
        figure, button = page.locator("figure.ntk-figure").first, page.get_by_role("button", name="Enlarge").first
        before = figure.locator("img").first.bounding_box()["width"]
        order = page.evaluate("[...document.querySelectorAll('figure')].map(f => f.textContent)")
        button.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Figure, enlarged")
        assert dialog.is_visible()
        assert dialog.locator("img").first.bounding_box()["width"] > 1.3 * before
        assert inspection.accessibility(page, "dark") == []
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert button.evaluate("b => b === document.activeElement")
        assert page.evaluate("[...document.querySelectorAll('figure')].map(f => f.textContent)") == order
        assert abs(figure.locator("img").first.bounding_box()["width"] - before) < 1
        assert faults == []


def test_a_slider_works_enlarged(book, browser):
    with inspection.opened(browser, f"{book}/{CHAPTER}") as (page, _):
        slider = page.locator("figure.ntk-slider").first
        slider.get_by_role("button", name="Enlarge").click()
        control = page.locator("dialog input[type=range]")
        control.focus()
        control.press("Home")
        first = page.locator("dialog output").inner_text()
        control.press("ArrowRight")
        assert page.locator("dialog output").inner_text() != first
        page.get_by_role("button", name="Close").click()
        assert page.locator("dialog input[type=range]").count() == 0


@pytest.mark.parametrize("how", ["pointer", "keyboard"])
def test_a_reference_shows_the_theorem(book, browser, how):
    with inspection.opened(browser, f"{book}/book/theorems.html") as (page, faults):
        link = page.locator("a[href$='#thm-smoothness']").first
        card = page.get_by_role("tooltip")
        if how == "pointer":
            link.hover()
        else:
            page.keyboard.press("Tab")
            link.focus()
        card.wait_for(state="visible")
        assert "the Gaussian process of a relu network" in card.inner_text()
        card.locator("mjx-container").first.wait_for()
        box = card.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= inspection.WIDE["width"]
        page.keyboard.press("Escape")
        assert not card.is_visible()
        assert faults == []


def test_a_reference_shows_a_formula_of_its_page(book, browser):
    with inspection.opened(browser, f"{book}/{CHAPTER}") as (page, faults):
        link = page.locator("article p a[href='#eq-5-2']").first
        link.hover()
        card = page.get_by_role("tooltip")
        card.wait_for(state="visible")
        assert card.locator("mjx-container").count() == 1
        assert page.locator(".ntk-preview [id]").count() == 0
        assert faults == []


def shown(page):
    """The names of the claims that can be seen."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.ntk-board tbody tr')].filter(r => r.checkVisibility())
            .map(r => r.querySelector('code').textContent)"""
    )


def test_the_scoreboard_is_filtered_and_the_choice_can_be_linked(book, browser):
    with inspection.opened(browser, f"{book}/{SCOREBOARD}") as (page, faults):
        assert shown(page) == []
        total = page.locator(".ntk-board tbody tr").count()
        page.get_by_label("Verdict").select_option("not run")
        rows = shown(page)
        assert 0 < len(rows) < total
        assert page.get_by_role("status").inner_text() == f"{len(rows)} of {total} claims"
        page.get_by_label("Verdict").select_option("")
        page.get_by_label("Chapter").select_option("5")
        page.get_by_label("Words").fill("slope circle")
        chosen = shown(page)
        assert chosen
        address = page.url
        assert inspection.accessibility(page, "light") == []
        assert faults == []
    with inspection.opened(browser, address) as (page, _):
        assert shown(page) == chosen
        page.get_by_label("Words").fill("no claim says this")
        assert shown(page) == []


def test_the_scoreboard_is_complete_without_scripts(book, browser):
    context = browser.new_context(java_script_enabled=False, viewport=inspection.PHONE)
    page = context.new_page()
    page.goto(f"{book}/{SCOREBOARD}")
    boards = page.locator("details.ntk-board")
    for number in range(boards.count()):
        boards.nth(number).locator("summary").click()
    seen = page.locator(".ntk-board tbody tr:visible").count()
    assert seen == int(re.search(r"(\d+) claims:", page.inner_text("article"))[1])
    assert not page.locator(".ntk-filter").count()
    context.close()


def test_a_folded_scoreboard_is_short_on_a_phone(book, browser):
    with inspection.opened(browser, f"{book}/{SCOREBOARD}") as (page, _):
        page.set_viewport_size(inspection.PHONE)
        assert page.evaluate("document.scrollingElement.scrollHeight") < 12 * inspection.PHONE["height"]


def test_the_front_page_says_it_on_one_screen(book, browser):
    with inspection.opened(browser, f"{book}/book/intro.html") as (page, faults):
        height = inspection.WIDE["height"]
        parts = [".ntk-headline", ".ntk-opening li >> nth=0", ".ntk-opening li >> nth=2", ".ntk-opening figure img"]
        for part in parts:
            box = page.locator(f"article {part}").bounding_box()
            assert box["y"] + box["height"] <= height, part
        line = page.locator(".ntk-headline").inner_text()
        assert line.startswith(re.search(r"\*\*(\d+ claims)", (inspection.ROOT / "book/scoreboard.md").read_text())[1])
        assert faults == []
