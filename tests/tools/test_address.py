import address
import pytest

OLD = ("https://github.com/old/book", "https://old.github.io/book/")
NEW = ("https://github.com/new-owner/new.book", "https://new.example.org/ntk/")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("see https://github.com/old/book.", "see https://github.com/new-owner/new.book."),
        ("https://github.com/old/book/issues", "https://github.com/new-owner/new.book/issues"),
        (
            "git clone https://github.com/old/book && cd book",
            "git clone https://github.com/new-owner/new.book && cd book",
        ),
        ("[book](https://old.github.io/book/book/intro.html)", "[book](https://new.example.org/ntk/book/intro.html)"),
        (
            "https://colab.research.google.com/github/any/where/blob/main/notebooks/01.ipynb",
            "https://colab.research.google.com/github/new-owner/new.book/blob/main/notebooks/01.ipynb",
        ),
        ("git+https://github.com/any/where@main", "git+https://github.com/new-owner/new.book@main"),
        ("git+https://github.com/any/where.git", "git+https://github.com/new-owner/new.book.git"),
        ("git+https://github.com/any/where\n", "git+https://github.com/new-owner/new.book\n"),
        # Others' repositories and ones whose name only begins like ours stay.
        ("https://github.com/google/neural-tangents", "https://github.com/google/neural-tangents"),
        ("https://github.com/old/book-two", "https://github.com/old/book-two"),
    ],
)
def test_every_form_is_rewritten_and_no_other(before, after):
    assert address.rewrite(before, OLD, NEW) == after
    assert address.rewrite(after, NEW, NEW) == after


def test_check_names_the_file_that_differs(tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text(f"{NEW[0]} git+https://github.com/else/where@main")
    (tmp_path / "CITATION.cff").write_text(f'repository-code: "{NEW[0]}"\nurl: "{NEW[1]}"\n')
    monkeypatch.setattr(address, "ROOT", tmp_path)
    monkeypatch.setattr(address, "tracked", lambda: sorted(tmp_path.iterdir()))
    monkeypatch.setattr(address.book_map, "urls", lambda: NEW)
    monkeypatch.setattr("sys.argv", ["address.py", "--check"])
    assert address.main() == 1
    assert "README.md shows another address" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["address.py"])
    assert address.main() == 0
    assert "git+https://github.com/new-owner/new.book@main" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr("sys.argv", ["address.py", "--check"])
    assert address.main() == 0
    (tmp_path / "CITATION.cff").write_text("title: nothing\n")
    assert address.main() == 1
