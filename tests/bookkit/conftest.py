import pytest

from ntk_helpers.bookkit import session


@pytest.fixture(autouse=True)
def fresh_session(monkeypatch):
    """Each test starts without a running chapter, at quick scale, and leaves nothing behind."""
    for name in ("NTK_SCALE", "NTK_CONFIG", "NTK_BOOK_DIR", "NTK_BUILD_DIR"):
        monkeypatch.delenv(name, raising=False)
    session.current.__dict__.update(session.Session().__dict__)
    yield
    session.current.__dict__.update(session.Session().__dict__)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Write a contract of chapter 90_demo into a book of its own; returns that book's folder."""

    def write(text, chapter="90_demo"):
        (tmp_path / "book" / "claims").mkdir(parents=True, exist_ok=True)
        (tmp_path / "book" / "claims" / f"{chapter}.toml").write_text(text)
        monkeypatch.setenv("NTK_BOOK_DIR", str(tmp_path / "book"))
        monkeypatch.setenv("NTK_BUILD_DIR", str(tmp_path / "build"))
        return tmp_path / "book"

    return write
