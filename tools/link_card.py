"""Draw book/static/card.png, the picture that a link to the book shows elsewhere, from book/static/opening.svg.

python tools/link_card.py    needs Chromium, as the browser tests do
"""

import os
import shutil
import sys

import book_map
from playwright.sync_api import sync_playwright

STATIC = book_map.ROOT / "book" / "static"
SIZE = {"width": 1200, "height": 630}  # what the sites that show previews ask for
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; width: 1200px; height: 630px; background: #fff; color: #1c2430;
  font-family: "DejaVu Sans", sans-serif; }}
h1 {{ font-size: 50px; font-weight: 500; margin: 52px 64px 6px; }}
p {{ font-size: 26px; margin: 0 64px 26px; color: #48566b; }}
img {{ display: block; width: 1090px; margin: auto; }}
</style><h1>Neural tangent kernels, executable</h1>
<p>Random networks of three widths. Grey: a Gaussian process, nothing fitted</p>
<img src="{picture}">"""


def main() -> int:
    """Draw it."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        print("Chromium is missing; name one in the environment: CHROMIUM=/path/to/chromium")
        return 1
    source = book_map.ROOT / "_build" / "card.html"
    source.parent.mkdir(exist_ok=True)
    source.write_text(PAGE.format(picture=(STATIC / "opening.svg").as_uri()), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE)
        page.goto(source.as_uri())
        page.screenshot(path=STATIC / "card.png")
        browser.close()
    print(f"card.png: {(STATIC / 'card.png').stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
