import time
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh
from ntk_helpers.bookkit import session


@dataclass(frozen=True)
class Config:
    width: int


@pytest.fixture(autouse=True)
def running(tmp_path, monkeypatch):
    session.current.chapter = "90_demo"
    monkeypatch.setenv("NTK_BUILD_DIR", str(tmp_path))


@pytest.fixture
def full(monkeypatch):
    monkeypatch.setenv("NTK_SCALE", "full")


def cell(source, **names):
    """Functions as a notebook defines them: in __main__."""
    namespace = {"__name__": "__main__", "np": np, **names}
    exec(source, namespace)
    return namespace


def resumed():
    return [s["resumed"] for s in session.current.stages]


def test_quick_scale_stores_nothing(tmp_path):
    assert nh.stage("sum", lambda n: n + 1, 2) == 3
    assert list(tmp_path.iterdir()) == []
    assert resumed() == [False]


def test_a_stored_stage_comes_back_with_types_and_values(full):
    result = {
        "array": jnp.arange(3.0),
        "pair": (1, [2.5, None, True, "text"]),
        "scalar": np.float32(0.1),
        "big": np.array(7, dtype=np.int64),
    }
    first = nh.stage("all", lambda: result)
    second = nh.stage("all", lambda: 1 / 0) if False else nh.stage("all", lambda: result)
    assert resumed()[0] is False
    for got in (first, second):
        np.testing.assert_array_equal(got["array"], [0.0, 1.0, 2.0])
        assert isinstance(got["array"], np.ndarray)
        assert got["pair"] == (1, [2.5, None, True, "text"])
        assert isinstance(got["scalar"], np.float32)
        assert got["scalar"] == np.float32(0.1)
        assert got["big"].dtype == np.int64


SOURCE = """
def helper(x):
    return x * factor

def run(n):
    return [helper(i) for i in range(n)]
"""


def test_the_same_work_is_not_done_twice(full):
    for _ in range(2):  # a second process would define the functions anew
        nh.stage("run", cell(SOURCE, factor=2.0)["run"], 3)
    assert resumed() == [False, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda: nh.stage("run", cell(SOURCE, factor=2.0)["run"], 4),
        lambda: nh.stage("run", cell(SOURCE, factor=3.0)["run"], 3),
        lambda: nh.stage("run", cell(SOURCE.replace("x *", "x +"), factor=2.0)["run"], 3),
        lambda: nh.stage("other", cell(SOURCE, factor=2.0)["run"], 3),
        lambda: setattr(session.current, "config", Config(2)) or nh.stage("run", cell(SOURCE, factor=2.0)["run"], 3),
    ],
    ids=["argument", "global", "code of a helper", "name", "configuration"],
)
def test_any_change_that_matters_computes_anew(full, change):
    nh.stage("run", cell(SOURCE, factor=2.0)["run"], 3)
    change()
    assert resumed() == [False, False]


def test_keys_arrays_partials_and_jit_are_told_apart(full):
    def draw(key, scale):
        return scale * jax.random.normal(key, (2,))

    def run(seed, scale):
        return nh.stage("draw", partial(jax.jit(draw), jax.random.key(seed)), np.array(scale))

    values = [run(0, 1.0), run(1, 1.0), run(0, 2.0), run(0, 1.0)]
    assert resumed() == [False, False, False, True]
    np.testing.assert_array_equal(values[0], values[3])
    assert not np.array_equal(values[0], values[1])


def test_a_closure_counts(full):
    def make(n):
        return lambda: n

    assert [nh.stage("c", make(1)), nh.stage("c", make(2))] == [1, 2]


def test_changed_package_source_counts(full, monkeypatch):
    nh.stage("run", cell(SOURCE, factor=2.0)["run"], 3)
    monkeypatch.setattr("ntk_helpers.bookkit.stages.package_fingerprint", lambda: "other")
    nh.stage("run", cell(SOURCE, factor=2.0)["run"], 3)
    assert resumed() == [False, False]


@pytest.mark.parametrize("result", [object(), {1: 2.0}, jax.random.key(0), lambda: 0])
def test_what_cannot_be_stored_is_refused_at_quick_scale_already(result):
    with pytest.raises(TypeError, match="a stage returns"):
        nh.stage("bad", lambda: result)


def test_what_has_no_value_is_no_argument():
    with pytest.raises(TypeError, match="cannot be told apart"), open(__file__) as file:
        nh.stage("bad", lambda f: 1, file)


def test_a_slice_ends_between_stages_and_does_at_least_one(full):
    session.current.deadline = time.monotonic() - 1
    with pytest.raises(nh.SliceOver, match="after stage 'a'"):
        nh.stage("a", lambda: 1)
    with pytest.raises(nh.SliceOver, match="before stage 'b'"):
        nh.stage("b", lambda: 2)
    session.current.stages.clear()  # the next slice
    assert nh.stage("a", lambda: 1) == 1, "what was finished is there, whatever the time"
    with pytest.raises(nh.SliceOver, match="after stage 'b'"):
        nh.stage("b", lambda: 2)
