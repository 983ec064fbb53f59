"""Two small printed pages are bound in order, with an outline, and their links lead to each other."""

from io import BytesIO
from pathlib import Path

import book_map
import book_pdf
import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, TextStringObject

FIRST, SECOND = Path("/site/book/a.html"), Path("/site/book/b.html")


def printed(title: str, sheets: int, *, to: Path | None = None, heading: str | None = None) -> PdfReader:
    writer = PdfWriter()
    for _ in range(sheets):
        writer.add_blank_page(200, 300)
    writer.add_metadata({"/Title": f"{title} — The book"})
    top = writer.add_outline_item(title=title, page_number=0)
    writer.add_outline_item(title="Contents", page_number=0, parent=top)
    if heading:
        writer.add_outline_item(title=heading, page_number=sheets - 1, parent=top)
    writer.add_named_destination("here", sheets - 1)
    if to:
        writer.add_annotation(0, Link(rect=(10, 10, 50, 20), url=f"{to.as_uri()}#place"))
        writer.add_annotation(0, Link(rect=(10, 30, 50, 40), url="https://example.org/x"))
        own = DictionaryObject()
        own[NameObject("/Subtype")], own[NameObject("/Dest")] = NameObject("/Link"), TextStringObject("here")
        own[NameObject("/Rect")] = ArrayObject([NumberObject(n) for n in (10, 50, 50, 60)])
        writer.pages[0]["/Annots"].append(writer._add_object(own))
    data = BytesIO()
    writer.write(data)
    return PdfReader(BytesIO(data.getvalue()))


@pytest.fixture
def bound():
    pages = [
        ("", [(FIRST, printed("A", 2, to=SECOND, heading="GoalsGoals"))]),
        ("Part", [(SECOND, printed("B", 3, to=FIRST))]),
    ]
    data = BytesIO()
    book_pdf.bind(pages).write(data)
    return PdfReader(BytesIO(data.getvalue()))


def targets(reader, sheet):
    """Where the links of a sheet lead: a sheet's number or an address."""
    found = []
    for reference in reader.pages[sheet]["/Annots"]:
        note = reference.get_object()
        if "/Dest" in note:
            page = note["/Dest"][0].idnum  # blank sheets are equal, their numbers are not
            found.append(next(i for i, p in enumerate(reader.pages) if p.indirect_reference.idnum == page))
        else:
            found.append(str(note["/A"]["/URI"]))
    return found


def test_sheets_and_links(bound):
    assert len(bound.pages) == 5
    assert targets(bound, 0) == [2, "https://example.org/x", 1]
    assert targets(bound, 2) == [0, "https://example.org/x", 4]  # the place of that name on its own page


def test_outline(bound):
    def flat(entries):
        return [flat(e) if isinstance(e, list) else (e.title, bound.get_destination_page_number(e)) for e in entries]

    assert flat(bound.outline) == [("A", 0), [("Goals", 1)], ("Part", 2), [("B", 2)]]


def test_every_listed_page_is_in_it():
    listed = [name for _, files in book_pdf.contents() for name in files]
    assert listed[0] == "book/intro"
    chapters = {path.stem for path in (book_map.ROOT / "notebooks").glob("*.ipynb")}
    assert chapters == {name.removeprefix("notebooks/") for name in listed if name.startswith("notebooks/")}
