"""Keep the repository's address equal to [project.urls] of pyproject.toml in every file that shows it.

python tools/address.py          writes it
python tools/address.py --check  names each place that shows another one

CITATION.cff tells what the address was before. Forms that can only mean this repository (the Colab link, the pip
address) are found by their shape; plain links by the address that CITATION.cff shows.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import book_map

ROOT = book_map.ROOT
TEXT = {".md", ".ipynb", ".cff", ".yml", ".yaml", ".toml", ".json", ".py", ".html", ".css", ""}
MUST_SHOW = ("README.md", "CITATION.cff")
SLUG = r"[\w.-]+/[\w.-]+?"
SHAPES = [
    re.compile(rf"(?P<head>colab\.research\.google\.com/github/)(?P<slug>{SLUG})(?P<tail>/)"),
    re.compile(rf"(?P<head>git\+https://[\w.]+/)(?P<slug>{SLUG})(?P<tail>\.git|[@\"'\s#\\`]|$)", re.MULTILINE),
    re.compile(rf"(?P<head>raw\.githubusercontent\.com/)(?P<slug>{SLUG})(?P<tail>/)"),
]


def tracked() -> list[Path]:
    """Return the text files of the project that may show the address."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        paths = [ROOT / name for name in names]
    else:  # a downloaded archive: everything but what is built or installed
        tops = [path for path in ROOT.iterdir() if path.name not in ("node_modules", "_build", ".venv")]
        paths = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    # The source, a file without addresses of ours, and the test of this script, which shows invented ones.
    skip = {ROOT / name for name in ("pyproject.toml", "package-lock.json", "tests/tools/test_address.py")}
    return [path for path in paths if path.is_file() and path.suffix in TEXT and path not in skip]


def before() -> tuple[str | None, str | None]:
    """Return the repository's and the book's address that CITATION.cff shows."""
    citation = ROOT / "CITATION.cff"
    text = citation.read_text(encoding="utf-8") if citation.exists() else ""
    repository = re.search(r"^repository-code:\s*[\"']?([^\"'\s]+)", text, re.MULTILINE)
    documentation = re.search(r"^url:\s*[\"']?([^\"'\s]+)", text, re.MULTILINE)
    return (repository and repository[1].rstrip("/"), documentation and documentation[1].rstrip("/") + "/")


def rewrite(text: str, old: tuple[str | None, str | None], new: tuple[str, str]) -> str:
    """Return the text with every form of the address replaced."""
    slug = urlsplit(new[0]).path.strip("/")
    for was, now in zip(old, new, strict=True):
        if was and was != now:
            text = re.sub(re.escape(was.rstrip("/")) + r"(?![\w-])", now.rstrip("/"), text)
    for shape in SHAPES:
        text = shape.sub(lambda match: match["head"] + slug + match["tail"], text)
    return text


def main() -> int:
    """Write or check."""
    new, old, check = book_map.urls(), before(), "--check" in sys.argv
    faults = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        stamped = rewrite(text, old, new)
        name = path.relative_to(ROOT)
        if stamped != text and check:
            faults.append(f"address: {name} shows another address than pyproject.toml; run `make address`")
        elif stamped != text:
            path.write_text(stamped, encoding="utf-8")
            print(f"address: written into {name}")
    for name in MUST_SHOW:
        path = ROOT / name
        if not path.exists() or new[0] not in path.read_text(encoding="utf-8"):
            faults.append(f"address: {name} doesn't show {new[0]}")
    print("\n".join(faults) if faults else f"address: {new[0]} everywhere")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
