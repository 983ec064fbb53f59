"""What users install holds the contracts and stored results, and finds them where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Runs outside the repository: says where the package is, and what it finds there.
PROBE = """
import json, sys
import ntk_helpers as nh
from ntk_helpers.bookkit import contracts
chapters = contracts.chapter_names()
nh.chapter(chapters[0])
nh.stored_results()
print(json.dumps({
    "package": nh.__file__,
    "book": str(contracts.book_dir()),
    "claims": {c: len(contracts.load_contracts(c)) for c in chapters},
    "results": nh.load_results("98_probe"),
}))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The files of the repository as an archive of it has them (no .git, nothing ignored), plus one stored result."""
    folder = tmp_path_factory.mktemp("archive") / "ntk-book"
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", "_build", ".*")
    for name in ("ntk_helpers", "book", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":  # a file where the checkout is a worktree
            shutil.copy(path, folder)
    (folder / "tests").mkdir()
    shutil.copy(__file__, folder / "tests")
    stored = {"label": "l", "device": "d", "seconds": 60, "commit": "c", "claims": []}
    (folder / "book" / "results" / "98_probe").mkdir(parents=True)
    (folder / "book" / "results" / "98_probe" / "full.json").write_text(json.dumps(stored))
    return folder


@pytest.fixture(scope="module")
def built(archive, tmp_path_factory):
    """Wheel and sdist, built from the archive by the build backend itself: no network, no environment."""
    out = tmp_path_factory.mktemp("dist")
    script = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1])); print(b.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, str(out)], cwd=archive, check=True, capture_output=True)
    return out


def probe(path, folder):
    """Run PROBE in a folder far from the checkout, with the package from `path` and everything else from here."""
    # -P and a cleaned path: neither the current folder nor the editable install may provide the package.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NTK_", "PYTHON"))}
    hide = "import sys; sys.path[:] = [p for p in sys.path if p != {!r}]; sys.path.insert(0, {!r})\n"
    script = hide.format(str(ROOT), str(path)) + PROBE
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert Path(found["package"]).is_relative_to(path), "the package under test, not the checkout"
    assert Path(found["book"]).is_relative_to(path)
    return found


def expected():
    contracts = sorted((ROOT / "book" / "claims").glob("*.toml"))
    return {p.stem for p in contracts}


def test_a_wheel_carries_claims_and_results(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        file.extractall(tmp_path / "site")
    assert "ntk_helpers/py.typed" in names
    assert not [n for n in names if n.startswith(("book/", "tests/", "tools/", "notebooks/"))]
    found = probe(tmp_path / "site", tmp_path)
    assert set(found["claims"]) == expected()
    assert all(found["claims"].values())
    assert found["results"]["label"] == "l"


def test_an_sdist_builds_the_same_and_is_complete(built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path, filter="data")
    (folder,) = [p for p in tmp_path.iterdir() if p.is_dir()]
    for needed in ("LICENSE", "README.md", "CITATION.cff", "CHANGELOG.md", "requirements.txt", "pyproject.toml"):
        assert (folder / needed).is_file(), needed
    assert list((folder / "tests").glob("*.py"))
    found = probe(folder, tmp_path)
    assert set(found["claims"]) == expected()
    assert found["results"]["label"] == "l"
    script = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    again = tmp_path / "again"
    again.mkdir()
    subprocess.run([sys.executable, "-c", script, str(again)], cwd=folder, check=True, capture_output=True)
    ours, theirs = (sorted(zipfile.ZipFile(next(d.glob("*.whl"))).namelist()) for d in (built, again))
    assert ours == theirs


def test_an_archive_works_without_git(archive, tmp_path):
    assert not (archive / ".git").exists()
    found = probe(archive, tmp_path)
    assert set(found["claims"]) == expected()
    assert found["results"]["label"] == "l"
