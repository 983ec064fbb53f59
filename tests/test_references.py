"""The bibliography: its form, and that every key used anywhere exists.

Whether an entry is *right* no test can tell; what is checked here is what goes wrong by accident.
"""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
BIB = BOOK / "references.bib"
TEXTS = sorted([*BOOK.glob("*.md"), *(ROOT / "notebooks" / "text").glob("*.md")])
VENUE = ("journal", "booktitle", "publisher", "howpublished")
# arXiv's numbering since April 2007: YYMM.NNNN, five digits from 2015 on
ARXIV = re.compile(r"(0[7-9]|1[0-4])(0[1-9]|1[0-2])\.\d{4}|(1[5-9]|2\d)(0[1-9]|1[0-2])\.\d{5}")
CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")


@pytest.fixture(scope="module")
def entries():
    # pybtex raises on a repeated key and on text it cannot parse
    return parse_file(str(BIB)).entries


def _field(entry, name):
    return entry.fields.get(name, "").strip()


def test_no_key_stands_twice():
    keys = re.findall(r"^@\w+\{\s*([^,\s]+)", BIB.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [key for key, count in Counter(key.lower() for key in keys).items() if count > 1] == []


def test_every_entry_says_who_what_when_and_where(entries):
    missing = []
    for key, entry in entries.items():
        if not entry.persons.get("author"):
            missing.append(f"{key}: author")
        missing += [f"{key}: {name}" for name in ("title", "year") if not _field(entry, name)]
        if not any(_field(entry, name) for name in (*VENUE, "eprint")):
            missing.append(f"{key}: {', '.join(VENUE)} or eprint")
    assert missing == []


def test_no_author_list_is_cut_short(entries):
    cut = [key for key, entry in entries.items() if any("others" in str(p).lower() for p in entry.persons["author"])]
    assert cut == []


def test_keys_are_surname_year_word(entries):
    # jax2018github names the software, not an author
    wrong = []
    for key, entry in entries.items():
        form = re.fullmatch(r"([a-z]+)(\d{4})([a-z]+)", key)
        surname = "".join(entry.persons["author"][0].last_names).lower()
        if form is None or form[2] != _field(entry, "year") or (form[1] != surname and key != "jax2018github"):
            wrong.append(key)
    assert wrong == []


@pytest.mark.parametrize("field", ["eprint", "doi"])
def test_no_identifier_stands_twice(entries, field):
    values = Counter(_field(entry, field).lower() for entry in entries.values() if _field(entry, field))
    assert [value for value, count in values.items() if count > 1] == []


def test_arxiv_numbers_are_well_formed_and_not_later_than_the_paper(entries):
    wrong = []
    for key, entry in entries.items():
        number = _field(entry, "eprint")
        if not number:
            continue
        if not ARXIV.fullmatch(number) or _field(entry, "archiveprefix") != "arXiv":
            wrong.append(f"{key}: {number}")
        # A preprint may appear months after its conference, not more than a year.
        elif 2000 + int(number[:2]) > int(_field(entry, "year")) + 1:
            wrong.append(f"{key}: {number}, but published {_field(entry, 'year')}")
    assert wrong == []


def test_dois_are_well_formed(entries):
    wrong = {
        key: doi
        for key, entry in entries.items()
        if (doi := _field(entry, "doi")) and not re.fullmatch(r"10\.\d{4,9}/\S+", doi)
    }
    assert wrong == {}


def test_pages_are_ranges_in_order(entries):
    wrong = []
    for key, entry in entries.items():
        pages = _field(entry, "pages")
        ends = [end.removeprefix("E") for end in pages.split("--")]  # some journals number electronic pages E1, E2
        if pages and not (
            all(end.isdigit() for end in ends) and [int(e) for e in ends] == sorted(int(e) for e in ends)
        ):
            wrong.append(f"{key}: {pages}")
    assert wrong == []


def test_every_cited_key_exists(entries):
    unknown = []
    for path in TEXTS:
        for group in CITE.findall(path.read_text(encoding="utf-8")):
            unknown += [
                f"{path.name}: {key}" for key in (part.strip() for part in group.split(",")) if key not in entries
            ]
    assert unknown == []


def test_every_paper_of_a_claim_exists(entries):
    unknown = []
    for path in sorted((BOOK / "claims").glob("*.toml")):
        for topic, claims in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for name, claim in claims.items():
                if claim["paper"] != "ours" and claim["paper"] not in entries:
                    unknown.append(f"{path.name}: {topic}.{name}: {claim['paper']}")
    assert unknown == []


def test_the_chapter_map_and_the_bibliography_page_name_the_same_papers(entries):
    chapters = tomllib.loads((BOOK / "chapters.toml").read_text(encoding="utf-8"))["chapter"]
    mapped = {chapter["slug"][:2]: chapter["papers"] for chapter in chapters}
    assert [key for keys in mapped.values() for key in keys if key not in entries] == []
    assert [slug for slug, keys in mapped.items() if not keys] == []
    rows = re.findall(
        r"^\| \{chapter\}`(\d\d)` \|(.*)\|$", (BOOK / "bibliography.md").read_text("utf-8"), flags=re.MULTILINE
    )
    assert {number: CITE.findall(row) for number, row in rows} == mapped
