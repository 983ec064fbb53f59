import subprocess
import sys
from dataclasses import dataclass

import pytest

import ntk_helpers as nh
from ntk_helpers.bookkit import session


@dataclass(frozen=True)
class Config:
    width: int


@dataclass
class Thawed:
    width: int


@pytest.fixture(autouse=True)
def running():
    session.current.chapter = "90_demo"


def test_scale_comes_from_the_environment(monkeypatch):
    assert nh.scale() == "quick"
    monkeypatch.setenv("NTK_SCALE", "t4")
    assert nh.scale() == "t4"
    monkeypatch.setenv("NTK_SCALE", "huge")
    with pytest.raises(ValueError, match="NTK_SCALE is 'huge'"):
        nh.scale()


def test_configure_gives_the_sizes_of_the_scale(monkeypatch):
    configs = {"quick": Config(1), "t4": Config(2), "full": Config(3), "cpu": Config(4)}
    assert nh.configure(**configs).width == 1
    monkeypatch.setenv("NTK_SCALE", "full")
    assert nh.configure(**configs).width == 3
    monkeypatch.setenv("NTK_CONFIG", "cpu")
    assert nh.configure(**configs).width == 4
    monkeypatch.setenv("NTK_CONFIG", "gpu")
    with pytest.raises(ValueError, match="this chapter has quick, t4, full, cpu"):
        nh.configure(**configs)


@pytest.mark.parametrize("bad", [Thawed(1), Config, {"width": 1}, None])
def test_only_frozen_dataclasses(bad):
    with pytest.raises(TypeError, match="frozen dataclass"):
        nh.configure(quick=bad, t4=bad, full=bad)


def test_one_class_for_all_scales():
    @dataclass(frozen=True)
    class Other:
        width: int

    with pytest.raises(TypeError, match="full: is a Other"):
        nh.configure(quick=Config(1), t4=Config(2), full=Other(3))


def test_progress_is_silent_at_quick_scale(capsys):
    assert list(nh.progress(range(3), label="x")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_progress_shows_above_quick_scale_and_never_on_stderr(capsys, monkeypatch):
    monkeypatch.setenv("NTK_SCALE", "full")
    list(nh.progress(range(3), label="widths"))
    out, err = capsys.readouterr()
    assert "widths" in out
    assert err == ""


def test_importing_the_package_loads_nothing_of_the_chapters():
    code = (
        "import sys, ntk_helpers as nh\n"
        "bad = {'matplotlib', 'optax', 'sklearn', 'IPython', 'ntk_helpers.bookkit'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "assert 'claim' in dir(nh)\n"
        "nh.scale()\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_lazy_name_is_there():
    for name in nh._LAZY:
        assert getattr(nh, name).__module__.startswith(("ntk_helpers.bookkit", nh._LAZY[name])), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nh.nothing  # noqa: B018
