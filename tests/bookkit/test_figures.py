import re
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

import ntk_helpers as nh
from ntk_helpers.bookkit import figures, slider, svg

ALT = "A line that rises from the lower left to the upper right of the axes."
RNG = np.random.default_rng(0)


@pytest.fixture
def shown(monkeypatch):
    """What nh.show and nh.slider emit: (text, html)."""
    found = []
    for module in (figures, slider):
        monkeypatch.setattr(module, "emit", lambda text, html, extra=None: found.append((text, html)))
    nh.use_style()
    yield found
    plt.close("all")


def line(slope=1.0, points=50):
    fig, ax = plt.subplots()
    ax.plot(np.linspace(0, 1, points), slope * np.linspace(0, 1, points) ** 2, label="$x^2$")
    ax.set_xlabel(r"input $\|x\|$")
    ax.legend()
    return fig


def picture(html):
    """The SVG inside the first <img>."""
    return unquote(re.search(r'src="data:image/svg\+xml,([^"]*)"', html)[1])


def test_a_figure_is_shown_with_caption_and_alternative_text(shown):
    nh.show(line(), caption="Rises <fast>, $x^2$.", alt=ALT + ' "quoted"')
    (text, html), *rest = shown
    assert not rest
    assert text == "Figure: Rises <fast>, $x^2$."
    assert "<figcaption>Rises &lt;fast&gt;, $x^2$.</figcaption>" in html
    assert f'alt="{ALT} &quot;quoted&quot;"' in html
    ElementTree.fromstring(picture(html))
    assert plt.get_fignums() == [], "closed, or Jupyter would show it twice"


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        nh.show(line(), caption="c", alt=ALT)
    assert shown[0] == shown[1]
    assert "dc:date" not in picture(shown[0][1])


@pytest.mark.parametrize(("caption", "alt"), [("", ALT), ("c", ""), ("c", "a figure")])
def test_texts_are_required(shown, caption, alt):
    with pytest.raises(ValueError, match=r"caption|alt"):
        nh.show(line(), caption=caption, alt=alt)


def test_a_figure_too_large_says_what_to_do(shown):
    fig, ax = plt.subplots()
    ax.scatter(*RNG.standard_normal((2, 3000)), s=3)
    with pytest.raises(ValueError, match="rasterized=True"):
        nh.show(fig, caption="c", alt=ALT)
    fig, ax = plt.subplots()
    ax.scatter(*RNG.standard_normal((2, 3000)), s=3, rasterized=True)
    nh.show(fig, caption="c", alt=ALT)
    assert "data:image/png" in picture(shown[0][1])


def coordinates(path):
    """Points of a path of M, L, z or m, l, z commands, absolute."""
    here, out, start, command = np.zeros(2), [], np.zeros(2), ""
    tokens = re.findall(r"[MLmlzQqCc]|-?\d*\.?\d+", path)
    i = 0
    while i < len(tokens):
        if tokens[i].isalpha():
            command = tokens[i]
            i += 1
            if command in "zZ":
                here = start
            continue
        point = np.array([float(tokens[i]), float(tokens[i + 1])])
        here = here + point if command.islower() else point
        if command in "mM":
            start, command = here, "l" if command == "m" else "L"
        out.append(here)
        i += 2
    return np.array(out)


def test_shortened_paths_keep_every_point_to_a_hundredth():
    points = RNG.uniform(-300, 300, (400, 2))
    points[7] = points[6]  # a repeated point becomes "0 0"
    path = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in points) + " z M 1.5 2.5 L 3.25 -0.5"
    short = svg.relative_path(path, 2)
    assert len(short) < 0.6 * len(path)
    expected = np.vstack([points, [[1.5, 2.5], [3.25, -0.5]]])
    np.testing.assert_allclose(coordinates(short), expected, atol=0.005 + 1e-9)


def test_curves_keep_their_control_points():
    # Relative to the start of each curve, all control points: SVG's rule for q and c.
    assert svg.relative_path("M 10 10 Q 20 30 40 40 C 1 2 3 4 5 6 z", 0) == "m10 10q10 20 30 30c-39-38-37-36-35-34z"


def test_ids_are_all_defined_once(shown):
    nh.show(line(), caption="c", alt=ALT)
    text = picture(shown[0][1])
    defined = re.findall(r"\bid='([^']*)'", text)
    used = set(re.findall(r"#(i\d+)", text))
    assert len(defined) == len(set(defined))
    assert used == set(defined)


def test_band_draws_quantiles():
    fig, ax = plt.subplots()
    x, samples = np.arange(3.0), np.arange(11.0)[:, None] + np.array([0.0, 10.0, 20.0])
    nh.band(ax, x, samples, label="f")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [5, 15, 25])
    edges = ax.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([edges[:, 1].min(), edges[:, 1].max()], [1, 29])  # 10 % and 90 % of 0..10
    plt.close(fig)


def test_the_line_of_theory_has_its_slope():
    fig, ax = plt.subplots()
    x = np.array([10.0, 100.0, 1000.0])
    nh.loglog_with_slope(ax, x, np.tile(5 / x, (3, 1)), slope=-1.0)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 5 / x, rtol=1e-12)
    assert ax.lines[1].get_label() == "slope -1 (theory)"
    assert ax.get_xscale() == ax.get_yscale() == "log"
    plt.close(fig)


@pytest.mark.parametrize(
    "bad", [np.ones((1, 3)), np.full((2, 3), np.nan), np.ones((2, 4))], ids=["one seed", "nan", "shape"]
)
def test_bad_bands_are_refused(bad):
    fig, ax = plt.subplots()
    with pytest.raises(Exception, match=r"band|points"):
        nh.band(ax, np.arange(3.0), bad)
    plt.close(fig)


def test_nothing_below_zero_on_logarithmic_axes():
    fig, ax = plt.subplots()
    with pytest.raises(ValueError, match="positive"):
        nh.loglog_with_slope(ax, np.array([1.0, 2.0]), np.zeros((2, 2)), slope=1.0)
    plt.close(fig)


def make_slider(**changes):
    options = {"name": "slope", "label": "slope", "caption": "A parabola.", "alt": ALT, **changes}
    nh.slider(options.pop("frames", line), options.pop("values", [1, 2, 3]), **options)


def test_a_slider_shows_its_first_frame_and_can_be_operated(shown):
    make_slider()
    ((text, html),) = shown
    assert text == "Slider over slope (1, 2, 3): A parabola."
    assert html.count("<img ") == 3
    assert html.count("display:none") == 2
    assert html.index("display:block") < html.index("display:none")
    control = re.search(r'<label for="([^"]*)">slope</label><input id="([^"]*)" type="range" min="0" max="2"', html)
    assert control[1] == control[2]
    assert 'aria-valuetext="1"' in html
    assert f"{ALT} Shown for slope 2." in html
    assert "http" not in re.sub(r"http://www\.w3\.org/[\w/]*", "", unquote(html)), "no other host"


def test_sliders_do_not_share_ids(shown):
    make_slider()
    make_slider(name="other")
    ids = [re.search(r'<input id="([^"]*)"', html)[1] for _, html in shown]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": [1]}, "at least two frames"),
        ({"name": "my slider"}, "name"),
        ({"label": " "}, "label"),
        ({"alt": "short"}, "alt"),
        ({"alt": [ALT, ALT]}, "2 texts for 3 values"),
        ({"frames": []}, "0 figures for 3 values"),
        ({"frames": lambda v: dense(), "values": list(range(8))}, "200"),
    ],
)
def test_bad_sliders_are_refused(shown, changes, message):
    with pytest.raises(ValueError, match=message):
        make_slider(**changes)
    plt.close("all")


def dense():
    """A figure of about 40 kB."""
    fig, ax = plt.subplots()
    ax.plot(RNG.standard_normal(6000))
    return fig
