"""A course folder with all sets, made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import build_course


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """The folder that `make assignments` makes."""
    folder = tmp_path_factory.mktemp("course")
    build_course.write_course(folder, build_course.slugs())
    faults = build_course.generate(folder, build_course.slugs())
    assert not faults, "\n".join(faults)
    return folder
