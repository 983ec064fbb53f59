import dataclasses

import jax
import numpy as np
import pytest

import ntk_helpers as nh
from ntk_helpers.bookkit import datasets

# Shapes, classes and value ranges as their sources state them.
BUNDLED = {
    "digits": (1797, 64, 10),
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "breast cancer": (569, 30, 2),
    "diabetes": (442, 10, 0),
}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets_are_what_they_say(name):
    data = nh.load_bundled(name)
    rows, columns, classes = BUNDLED[name]
    assert data.name == name
    assert data.x.shape == (rows, columns)
    assert data.y.shape == (rows,)
    assert data.x.dtype == np.float64
    assert np.isfinite(data.x).all()
    assert len(data.target_names) == classes
    if classes:
        assert set(data.y.tolist()) == set(range(classes))
    assert len(data.sha256) == 64
    for told in (data.source, data.licence, data.citation):
        assert len(told) > 5


def test_digits_are_pixels_between_0_and_1():
    data = nh.load_digits()
    assert (data.x.min(), data.x.max()) == (0.0, 1.0)
    assert data.image_shape == (8, 8)


def test_a_data_set_cannot_be_changed_by_accident():
    data = nh.load_digits()
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "MNIST"


def test_images():
    image = nh.load_image("china")
    assert image.shape == (427, 640, 3)
    assert image.min() >= 0.0
    assert image.max() <= 1.0


@pytest.mark.parametrize("load", [nh.load_bundled, nh.load_image, nh.load_openml])
def test_unknown_names_list_the_known(load):
    with pytest.raises(ValueError, match="there: "):
        load("nothing")


def unreachable(**_):
    raise OSError("no network")


def test_a_set_that_cannot_be_loaded_says_what_to_do(monkeypatch):
    monkeypatch.setattr("sklearn.datasets.fetch_openml", unreachable)
    with pytest.raises(nh.DatasetUnavailable, match="make data"):
        nh.load_openml("MNIST")
    with pytest.raises(nh.DatasetUnavailable, match="make data"):
        nh.load_uci(1)


def test_a_missing_pandas_is_named(monkeypatch):
    def no_pandas(**_):
        raise ImportError("fetch_openml requires pandas")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", no_pandas)
    with pytest.raises(nh.DatasetUnavailable, match="pip install pandas"):
        nh.load_openml("MNIST")


def test_a_set_of_the_wrong_shape_is_not_taken_for_the_right_one(monkeypatch):
    class Raw:
        data = np.zeros((10, 784))
        target = np.zeros(10)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: Raw)
    with pytest.raises(nh.DatasetUnavailable, match="expected"):
        nh.load_openml("MNIST")


def test_channels_come_last(monkeypatch):
    class Raw:
        data = np.tile(np.repeat(np.arange(3), 1024), (2, 1))  # red plane 0, green 1, blue 2
        target = np.array(["0", "1"])

    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: Raw)
    row = datasets._OPENML["CIFAR-10"]
    monkeypatch.setitem(datasets._OPENML, "CIFAR-10", (row[0], 2, *row[2:]))
    data = nh.load_openml("CIFAR-10")
    np.testing.assert_array_equal(data.x[0, :3] * 255, [0, 1, 2])
    assert data.y.tolist() == [0, 1]


def test_the_circle():
    points = nh.circle(7, radius=2.0)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 2.0, rtol=1e-15)
    steps = np.sum(points * np.roll(points, -1, axis=0), axis=1) / 4.0
    np.testing.assert_allclose(steps, np.cos(2 * np.pi / 7), rtol=1e-14)


@pytest.mark.parametrize(("n", "radius"), [(0, 1.0), (3, 0.0), (3, float("nan"))])
def test_bad_circles(n, radius):
    with pytest.raises(ValueError, match=r"n:|radius:"):
        nh.circle(n, radius=radius)


@pytest.mark.parametrize("d", [1, 2, 9])
def test_the_sphere_is_uniform(d):
    n = 20_000
    points = np.asarray(nh.sphere(n, d, key=jax.random.key(d)), dtype=np.float64)
    assert points.shape == (n, d + 1)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, rtol=1e-6)
    # Uniform on S^d: E x_i = 0, E x_i^2 = 1/(d+1), E x_i^4 = 3/((d+1)(d+3)). Gates at 4 standard errors for each
    # of d+1 coordinates.
    second = 1 / (d + 1)
    fourth = 3 / ((d + 1) * (d + 3))
    assert np.abs(points.mean(axis=0)).max() < 4.5 * np.sqrt(second / n)
    assert np.abs((points**2).mean(axis=0) - second).max() < 4.5 * np.sqrt((fourth - second**2) / n)


def test_bad_spheres():
    with pytest.raises(ValueError, match="n, d"):
        nh.sphere(0, 2, key=jax.random.key(0))
