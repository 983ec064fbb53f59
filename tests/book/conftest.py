"""The built book behind a server on this machine, and one Chromium for all tests."""

import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
NO_CHROMIUM = (
    "Chromium is missing: the built pages can't be looked at. Debian: apt-get install chromium; macOS: brew install "
    "--cask chromium; or name a Chromium or Chrome in the environment: CHROMIUM=/path/to/chromium make test"
)


def built_pages() -> list[str]:
    """Return every built page but the redirection to the first, relative to the output folder."""
    found = [path for folder in ("book", "notebooks") for path in (HTML / folder).rglob("*.html")]
    if not found:
        return []
    return sorted(path.relative_to(HTML).as_posix() for path in [*found, HTML / "search.html", HTML / "genindex.html"])


def pytest_generate_tests(metafunc):
    """Run a test that asks for `page_name` on every built page; fail, not skip, where nothing is built."""
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", built_pages() or ["_build/html is empty: run make book"])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def serving(folder: Path):
    """Serve a folder on a free local port and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    # The browser drops connections when a page closes; that is no fault of the server.
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def book():
    """The built book's address on this machine."""
    if not (HTML / "index.html").is_file():
        pytest.fail("the book isn't built: run make book")
    with serving(HTML) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """One Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.fail(NO_CHROMIUM, pytrace=False)
    if not AXE.is_file():
        pytest.fail("axe-core is missing: run make book, which installs it", pytrace=False)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()
