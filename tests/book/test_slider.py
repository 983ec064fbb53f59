"""A slider works from a file, by keyboard and by mouse, leaves others alone, shows a frame without JavaScript."""

import matplotlib as mpl
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

import ntk_helpers as nh
from ntk_helpers.bookkit import figures, slider

ALT = "A straight line through the origin that gets steeper from frame to frame."


def line(slope):
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, slope])
    ax.set_ylim(0, 3)
    return fig


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A page with two sliders, as a file."""
    found = []
    monkeypatch.setattr(slider, "emit", lambda text, html, extra=None: found.append(html))
    nh.use_style()
    for name in ("first", "second"):
        nh.slider(line, [1, 2, 3], name=name, label=f"slope, {name}", caption="A line.", alt=ALT)
    head = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>t</title>'
    path = tmp_path / "page.html"
    path.write_text(f"{head}<body><main>{''.join(found)}</main></body></html>")
    return path.as_uri()


def seen(page, figure):
    """Which frames of a figure are visible."""
    images = page.locator("figure").nth(figure).locator("img")
    return [i for i in range(images.count()) if images.nth(i).is_visible()]


def test_keyboard_moves_one_slider_and_says_the_value(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    assert seen(page, 0) == seen(page, 1) == [0]
    control = page.get_by_label("slope, second")
    control.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    assert seen(page, 1) == [2]
    assert seen(page, 0) == [0]
    assert control.get_attribute("aria-valuetext") == "3"
    assert page.locator("output").nth(1).inner_text() == "3"
    assert page.locator("output").nth(0).inner_text() == "1"
    page.keyboard.press("Home")
    assert seen(page, 1) == [0]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    decoded = page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    assert decoded, "every frame is a picture that the browser can draw"
    assert errors == []
    page.close()


def test_a_drag_moves_it_too(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(address)
    box = page.get_by_label("slope, first").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert seen(page, 0) == [1]
    page.close()


def test_without_javascript_the_first_frame_is_seen(browser, address):
    page = browser.new_page(java_script_enabled=False)
    page.goto(address)
    assert seen(page, 0) == [0]
    page.close()


def test_a_figure_too_is_a_picture(browser, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(figures, "emit", lambda text, html, extra=None: found.append(html))
    nh.use_style()
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], label=r"$\hat\Sigma$ & 100 % < #1")
    ax.legend()
    nh.show(fig, caption="A line.", alt=ALT)
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{found[0]}</body>")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("document.images[0].naturalWidth") > 300
    assert page.get_by_alt_text(ALT).is_visible()
    page.close()
