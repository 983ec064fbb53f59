"""Where the built pages are, which there are, and a server for them on this machine alone."""

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


def built_pages() -> list[str]:
    """Return every built page but the redirection to the first, relative to the output folder."""
    found = [path for folder in ("book", "notebooks") for path in (HTML / folder).rglob("*.html")]
    if not found:
        return []
    return sorted(path.relative_to(HTML).as_posix() for path in [*found, HTML / "search.html", HTML / "genindex.html"])


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
