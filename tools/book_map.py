"""Read book/chapters.toml, the one map of the book's parts and chapters."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Chapter:
    """One planned or written chapter; its number is the head of its slug."""

    slug: str
    part: str
    title: str
    papers: tuple[str, ...]

    @property
    def number(self) -> int:
        return int(self.slug[:2])

    @property
    def notebook(self) -> Path:
        return ROOT / "notebooks" / f"{self.slug}.ipynb"

    @property
    def written(self) -> bool:
        return self.notebook.exists()


def load(path: Path = ROOT / "book" / "chapters.toml") -> tuple[dict[str, str], list[Chapter]]:
    """Return the parts (number -> title) and the chapters in order of their numbers."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    parts = {part["number"]: part["title"] for part in data["part"]}
    chapters = [Chapter(**{**entry, "papers": tuple(entry["papers"])}) for entry in data["chapter"]]
    for chapter in chapters:
        if chapter.part not in parts:
            raise ValueError(f"{path.name}: chapter {chapter.slug} names part {chapter.part!r}; known: {list(parts)}")
    numbers = [chapter.number for chapter in chapters]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"{path.name}: two chapters share a number: {sorted(numbers)}")
    return parts, sorted(chapters, key=lambda chapter: chapter.number)


def project() -> dict:
    """Return what pyproject.toml says of the project."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def urls() -> tuple[str, str]:
    """Return the repository's and the book's address, as pyproject.toml states them."""
    table = project()["urls"]
    return table["Repository"].rstrip("/"), table["Documentation"].rstrip("/") + "/"
