import book_map
import pytest
import references
import toc
import yaml

MAP = """
[[part]]
number = "I"
title = "First"
[[part]]
number = "II"
title = "Second"
[[chapter]]
slug = "07_later"
part = "II"
title = "Later"
papers = ["a2020b"]
[[chapter]]
slug = "02_early"
part = "I"
title = "Early"
papers = []
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A book of two planned chapters; give its folder."""
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book" / "chapters.toml").write_text(MAP)
    read = book_map.load
    monkeypatch.setattr(book_map, "ROOT", tmp_path)
    monkeypatch.setattr(book_map, "load", lambda: read(tmp_path / "book" / "chapters.toml"))
    monkeypatch.setattr(toc, "TOC", tmp_path / "_toc.yml")
    monkeypatch.setattr("sys.argv", ["toc.py"])
    return tmp_path


def test_the_map_of_this_book_is_sound():
    parts, chapters = book_map.load()
    assert [chapter.number for chapter in chapters] == list(range(1, len(chapters) + 1))
    assert {chapter.part for chapter in chapters} == set(parts)
    assert all(chapter.slug == chapter.slug.lower() and chapter.papers for chapter in chapters)


@pytest.mark.parametrize(
    ("change", "said"),
    [(("07_later", "02_later"), "share a number"), (('part = "II"', 'part = "IX"'), "names part 'IX'")],
)
def test_a_broken_map_is_refused(project, change, said):
    path = project / "book" / "chapters.toml"
    path.write_text(MAP.replace(*change))
    with pytest.raises(ValueError, match=said):
        book_map.load()


def test_toc_lists_what_exists_in_order_of_numbers(project):
    (project / "notebooks" / "07_later.ipynb").write_text("{}")
    assert toc.main() == 0
    parts = yaml.safe_load(toc.TOC.read_text())["parts"]
    assert [part["caption"] for part in parts] == ["Before you start", "II. Second", "Reference", "The package"]
    (project / "notebooks" / "02_early.ipynb").write_text("{}")
    assert toc.main() == 0
    parts = yaml.safe_load(toc.TOC.read_text())["parts"]
    files = [chapter["file"] for part in parts if part.get("numbered") for chapter in part["chapters"]]
    assert files == ["notebooks/02_early", "notebooks/07_later"]


def test_toc_check_fails_where_it_is_stale_or_a_notebook_is_unknown(project, monkeypatch):
    assert toc.main() == 0
    monkeypatch.setattr("sys.argv", ["toc.py", "--check"])
    assert toc.main() == 0
    (project / "notebooks" / "02_early.ipynb").write_text("{}")
    assert toc.main() == 1
    monkeypatch.setattr("sys.argv", ["toc.py"])
    assert toc.main() == 0
    (project / "notebooks" / "03_stranger.ipynb").write_text("{}")
    assert toc.main() == 1


def test_citations_are_read_in_every_form():
    text = "{cite}`a1` {cite:t}`b2,c3` {cite:p}`see <d4>` {footcite}`e5` {doc}`f6` `g7`"
    assert references.cited(text) == {"a1", "b2", "c3", "d4", "e5"}


def test_papers_of_nested_claims_are_read():
    table = {"t": {"x": {"paper": "a1", "full": {"paper": "b2"}}, "y": {"paper": "ours"}}}
    assert references.papers(table) == {"a1", "b2"}


def test_an_unknown_key_fails(monkeypatch, capsys):
    real = references.uses()
    monkeypatch.setattr(references, "uses", lambda: [*real, ("book/x.md", "nobody1900nothing")])
    assert references.main() == 1
    assert "book/x.md names 'nobody1900nothing'" in capsys.readouterr().out
