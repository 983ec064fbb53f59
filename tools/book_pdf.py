"""Print the built book into one PDF, _build/ntk-book.pdf (`make pdf`).

Chromium prints each page as it does for a reader. The sheets are put in the order of the contents, with an outline,
and a link to another page of the book leads to its first sheet.
"""

import os
import shutil
import sys
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import book_map
import yaml
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, Fit, NameObject
from tqdm import tqdm

HTML = book_map.ROOT / "_build" / "html"
TARGET = book_map.ROOT / "_build" / "ntk-book.pdf"
FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center; color: #333">'
    '<span class="title"></span>, page <span class="pageNumber"></span> of <span class="totalPages"></span></div>'
)


def contents() -> list[tuple[str, list[str]]]:
    """Return the parts of the book, each with the built pages in it; the front page is a part without a name."""
    listed = yaml.safe_load((book_map.ROOT / "_toc.yml").read_text(encoding="utf-8"))

    def files(entries: list[dict]) -> list[str]:
        found = []
        for entry in entries:
            found += [entry["file"], *files(entry.get("sections", []))]
        return found

    return [("", [listed["root"]]), *((part["caption"], files(part["chapters"])) for part in listed["parts"])]


def print_page(browser: Browser, page_file: Path) -> PdfReader:
    """Print one page as a reader would."""
    page = browser.new_page()
    try:
        page.goto(page_file.as_uri())
        if page.locator("script[src*='tex-chtml']").count():
            page.wait_for_function("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
            page.evaluate("() => MathJax.startup.promise.then(() => document.fonts.ready).then(() => true)")
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        options = {"prefer_css_page_size": True, "format": "A4", "tagged": True, "outline": True}
        printed = page.pdf(
            **options, display_header_footer=True, header_template="<span></span>", footer_template=FOOTER
        )
    finally:
        page.close()
    return PdfReader(BytesIO(printed))


def _explicit(reader: PdfReader, first: int) -> dict[str, tuple[int, Fit]]:
    """The named places of one printed page, by sheets of the whole; names of different pages may be equal."""
    found = {}
    for name, place in reader.named_destinations.items():
        sheet = reader.get_destination_page_number(place)
        if sheet is not None and sheet >= 0:
            fit = Fit.xyz(left=float(place.left or 0), top=float(place.top or 0))
            found[name] = (first + sheet, fit)
    return found


def _relink(writer: PdfWriter, first: int, last: int, places: dict, firsts: dict[Path, int]) -> None:
    """Make the links on some sheets lead inside the book."""
    for sheet in range(first, last):
        for reference in writer.pages[sheet].get("/Annots", []):
            note = reference.get_object()
            action = note.get("/A", DictionaryObject()).get_object()
            name = note.get("/Dest", action.get("/D"))
            target = None
            if isinstance(name, str) and str(name).lstrip("/") in places:
                target, fit = places[str(name).lstrip("/")]
            elif "/URI" in action and (parts := urlsplit(str(action["/URI"]))).scheme == "file":
                target, fit = firsts.get(Path(unquote(parts.path))), Fit.fit()
            if target is None:
                continue
            for key in ("/A", "/Dest"):
                note.pop(key, None)
            to = ArrayObject([writer.pages[target].indirect_reference, NameObject(fit.fit_type), *fit.fit_args])
            note[NameObject("/Dest")] = to


def bind(printed: list[tuple[str, list[tuple[Path, PdfReader]]]]) -> PdfWriter:
    """Put the printed pages of all parts behind each other, with an outline and links."""
    writer, firsts, ranges = PdfWriter(), {}, []
    for part, pages in printed:
        parent = None
        for path, reader in pages:
            first = len(writer.pages)
            firsts[path] = first
            for sheet in reader.pages:
                writer.add_page(sheet)
            if part and parent is None:
                parent = writer.add_outline_item(title=part, page_number=first)
            title = ((reader.metadata or {}).get("/Title") or path.stem).split(" — ")[0]
            own = writer.add_outline_item(title=title, page_number=first, parent=parent)
            for entry in _headings(reader.outline):
                sheet = first + reader.get_destination_page_number(entry)
                writer.add_outline_item(title=_once(entry.title), page_number=sheet, parent=own)
            ranges.append((first, len(writer.pages), _explicit(reader, first)))
    for first, last, places in ranges:
        _relink(writer, first, last, places, firsts)
    return writer


def _once(title: str) -> str:
    """A heading's text; Chromium writes one that stands on the last sheet twice."""
    half = title[: len(title) // 2]
    return half if half + half == title else title


def _headings(outline: list) -> list:
    """Headings of the second level, but for the list of contents: the first is the page's title."""
    nested = [entry for group in outline if isinstance(group, list) for entry in group]
    return [entry for entry in nested if not isinstance(entry, list) and entry.title != "Contents"]


def main() -> int:
    """Print the book."""
    if not (HTML / "index.html").is_file():
        print("the book isn't built: run make book")
        return 1
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        print(
            "Chromium is missing (Debian: apt-get install chromium), or name one: CHROMIUM=/path/to/chromium make pdf"
        )
        return 1
    parts = contents()
    with sync_playwright() as playwright, tqdm(total=sum(len(files) for _, files in parts), unit="page") as bar:
        browser, printed = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]), []
        for part, files in parts:
            pages = []
            for name in files:
                path = HTML / f"{name}.html"
                pages.append((path, print_page(browser, path)))
                bar.update()
            printed.append((part, pages))
        browser.close()
    writer = bind(printed)
    writer.add_metadata({"/Title": "The NTK book", "/Author": "The NTK book developers"})
    writer.compress_identical_objects()
    scratch = TARGET.with_suffix(".part")
    writer.write(scratch)
    scratch.replace(TARGET)
    print(f"{len(writer.pages)} sheets, {TARGET.stat().st_size / 1e6:.0f} MB: {TARGET.relative_to(book_map.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
