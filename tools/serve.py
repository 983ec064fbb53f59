"""Serve _build/html on this machine alone, on a free port."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import book_map


class Quiet(SimpleHTTPRequestHandler):
    """Serve files without a line for each request."""

    def log_message(self, *args):
        """Say nothing."""


def main() -> None:
    """Serve until Ctrl-C."""
    handler = partial(Quiet, directory=book_map.ROOT / "_build" / "html")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(f"the book is at http://127.0.0.1:{server.server_port}/index.html   (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
