"""The table of a figure holds what was plotted, and nothing else."""

import csv
import io

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

import ntk_helpers as nh
from ntk_helpers.bookkit import figures, slider
from ntk_helpers.bookkit.plotted import COLUMNS, MAX_BYTES, figure_csv

ALT = "A line that rises from the lower left to the upper right of the axes."
X = np.array([1.0, 2.0, 4.0])


@pytest.fixture
def axes():
    fig, axes = plt.subplots(1, 2)
    yield fig, axes
    plt.close(fig)


def read(text):
    return list(csv.DictReader(line for line in io.StringIO(text) if not line.startswith("#")))


def numbers(rows, column):
    return [float(row[column]) for row in rows]


def test_lines_keep_their_numbers_and_their_names(axes):
    fig, (left, right) = axes
    left.set_title("Left")
    left.plot(X, X**2, label="theory")
    right.plot(X, [0.5, np.nan, 1 / 3])
    rows = read(figure_csv(fig))
    assert list(rows[0]) == list(COLUMNS)
    first, second = rows[:3], rows[3:]
    assert {(r["panel"], r["series"], r["kind"]) for r in first} == {("Left", "theory", "line")}
    assert numbers(first, "x") == [1, 2, 4]
    assert numbers(first, "y") == [1, 4, 16]
    assert {(r["panel"], r["series"]) for r in second} == {("2", "line1")}
    assert [r["y"] for r in second] == ["0.5", "", "0.333333"], "a gap stays a gap"


def test_bands_have_both_edges(axes):
    fig, (ax, _) = axes
    samples = np.arange(11.0)[:, None] + X
    nh.band(ax, X, samples, label="f")
    band = [row for row in read(figure_csv(fig)) if row["kind"] == "band"]
    np.testing.assert_allclose(numbers(band, "x"), X)
    np.testing.assert_allclose(numbers(band, "y"), 1 + X)
    np.testing.assert_allclose(numbers(band, "y_high"), 9 + X)


def test_points_and_bars(axes):
    fig, (ax, other) = axes
    ax.scatter(X, -X, label="seeds")
    other.bar([0, 1], [2.0, 5.0], label="time")
    points, bars = (read(figure_csv(fig))[a:b] for a, b in ((0, 3), (3, 5)))
    assert numbers(points, "y") == [-1, -2, -4]
    assert {r["kind"] for r in bars} == {"bar"}
    np.testing.assert_allclose(numbers(bars, "x"), [0, 1], atol=1e-12)
    assert numbers(bars, "y_high") == [2, 5]


def test_what_is_no_data_is_left_out(axes):
    fig, (ax, _) = axes
    ax.axhline(0.0)
    ax.imshow(np.eye(3))
    assert figure_csv(fig) == ""


def test_a_large_table_is_thinned_and_says_so(axes):
    fig, (ax, _) = axes
    ax.plot(np.linspace(0, 1, 20_000))
    text = figure_csv(fig)
    assert len(text) <= MAX_BYTES
    step = int(text.split(" in ")[1].split()[0])
    assert text.startswith(f"# one point in {step} of each series\n")
    np.testing.assert_allclose(numbers(read(text), "x"), np.arange(0, 20_000, step))


def test_show_and_slider_store_it_beside_the_picture(monkeypatch):
    found = []
    for module in (figures, slider):
        monkeypatch.setattr(module, "emit", lambda text, html, extra=None: found.append(extra))

    def line(slope):
        fig, ax = plt.subplots()
        ax.plot(X, slope * X, label="f")
        return fig

    nh.show(line(1.0), caption="A line.", alt=ALT)
    nh.slider(line, [1, 3], name="slope", label="slope", caption="A line.", alt=ALT)
    assert numbers(read(found[0]["text/csv"]), "y") == [1, 2, 4]
    rows = read(found[1]["text/csv"])
    assert [r["frame"] for r in rows] == ["1"] * 3 + ["3"] * 3
    assert numbers(rows, "y") == [1, 2, 4, 3, 6, 12]
