"""Each check of the pages finds the fault it is there for, on a page made for it, and lets the sound page pass."""

import inspection
import pytest
from site_pages import serving

ALT = "A curve that falls from one to zero as the width grows."
PICTURE = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='60' height='40'%3E%3Crect width='{}' "
    "height='40'/%3E%3C/svg%3E"
)
SLIDER = (
    '<figure>{frames}<label for="s">width</label><input id="s" type="range" min="0" max="1" value="0" '
    "oninput=\"var i=+this.value;this.closest('figure').querySelectorAll('img').forEach("
    "function(e,k){{e.style.display=k===i?'block':'none'}})\"></figure>"
)
FRAME = '<img src="{}" alt="' + ALT + '" style="display:{}">'
SOUND = f"<h1>A page</h1><p>Text.</p>{FRAME.format(PICTURE.format(50), 'block')}" + SLIDER.format(
    frames=FRAME.format(PICTURE.format(10), "block") + FRAME.format(PICTURE.format(20), "none")
)


@pytest.fixture
def page_of(tmp_path, browser):
    """Serve a body as a page and give (page, faults of loading it)."""
    contexts = []
    with serving(tmp_path) as address:

        def make(body: str):
            head = '<meta charset="utf-8"><link rel="icon" href="data:,"><title>Page</title>'
            html = f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>'
            (tmp_path / "page.html").write_text(html, encoding="utf-8")
            contexts.append(inspection.opened(browser, f"{address}/page.html"))
            return contexts[-1].__enter__()

        yield make
        for context in contexts:
            context.__exit__(None, None, None)


def test_sound_page_passes(page_of):
    page, faults = page_of(SOUND)
    faults = faults + inspection.formulas(page) + inspection.alt_texts(page) + inspection.sliders(page)
    faults += inspection.accessibility(page, "light") + inspection.accessibility(page, "dark")
    assert faults + inspection.sideways(page) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<script>console.error('boom')</script>", "console error: boom"),
        ("<script>undefined_name()</script>", "script error"),
        (f'<img src="https://example.org/x.png" alt="{ALT}">', "request to another host: https://example.org/x.png"),
        (f'<img src="gone.png" alt="{ALT}">', "status 404"),
    ],
)
def test_faults_of_loading_are_found(page_of, body, said):
    _, faults = page_of(body)
    assert any(said in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (r'<span class="math">\(x\)</span>', "not rendered"),
        ("<p>where $x$ is the input</p>", "raw TeX"),
        (r"<p>\begin{aligned} x \end{aligned}</p>", "raw TeX"),
        ('<mjx-merror title="Undefined control sequence">x</mjx-merror>', "Undefined control sequence"),
    ],
)
def test_unrendered_formulas_are_found(page_of, body, said):
    page, _ = page_of(body)
    assert any(said in fault for fault in inspection.formulas(page))


@pytest.mark.parametrize(
    "body",
    [
        f'<img src="{PICTURE.format(9)}">',
        f'<img src="{PICTURE.format(9)}" alt="">',
        f'<img src="{PICTURE.format(9)}" alt="Figure 1">',
        '<svg width="50" height="50"><rect width="9" height="9"/></svg>',
    ],
)
def test_missing_alt_is_found(page_of, body):
    page, _ = page_of(body)
    assert len(inspection.alt_texts(page)) == 1


def test_overflow_is_found(page_of):
    page, _ = page_of('<div style="width:700px">wide</div>')
    assert "pixels wide on a phone" in inspection.sideways(page)[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_low_contrast_is_found_in_its_scheme(page_of, scheme):
    other = "dark" if scheme == "light" else "light"
    style = f"<style>p{{color:#000;background:#fff}}@media (prefers-color-scheme:{scheme}){{p{{color:#eee}}}}</style>"
    page, _ = page_of(f"{style}<h1>T</h1><p>hard to read</p>")
    assert inspection.accessibility(page, other) == []
    assert any("color-contrast" in fault for fault in inspection.accessibility(page, scheme))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (
            FRAME.format(PICTURE.format(10), "block") + FRAME.format(PICTURE.format(10), "none"),
            "2 positions show 1 different",
        ),
        (FRAME.format(PICTURE.format(10), "block"), "shows no picture"),
    ],
)
def test_dead_slider_is_found(page_of, frames, said):
    page, _ = page_of(SLIDER.format(frames=frames))
    assert any(said in fault for fault in inspection.sliders(page))


def test_slider_outside_a_figure_is_found(page_of):
    page, _ = page_of('<label>x <input type="range" min="0" max="2"></label>')
    assert any("no <figure>" in fault for fault in inspection.sliders(page))
