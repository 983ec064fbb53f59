"""The built book behind a server on this machine, and one Chromium for all tests."""

import os
import shutil

import pytest
from inspection import AXE
from playwright.sync_api import sync_playwright
from site_pages import HTML, built_pages, serving

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
NO_CHROMIUM = (
    "Chromium is missing: the built pages can't be looked at. Debian: apt-get install chromium; macOS: brew install "
    "--cask chromium; or name a Chromium or Chrome in the environment: CHROMIUM=/path/to/chromium make test"
)


def pytest_generate_tests(metafunc):
    """Run a test that asks for `page_name` on every built page; fail, not skip, where nothing is built."""
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", built_pages() or ["_build/html is empty: run make book"])


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
