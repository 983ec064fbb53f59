"""Build the HTML book from the committed notebooks: _build/html.

python tools/build_book.py            tolerant of nothing that would leave a page broken, but warnings don't stop it
python tools/build_book.py --strict   every warning is an error (what `make test` runs)
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import book_map
import toc

ROOT = book_map.ROOT
BUILD = ROOT / "_build"
HTML = BUILD / "html"
MATHJAX = ROOT / "node_modules" / "mathjax"
# What a page can ask for with the formulas of this book; the rest (other inputs, outputs, languages) stays behind.
MATHJAX_PARTS = ["tex-chtml.js", "output/chtml/fonts", "input/tex/extensions", "a11y", "sre"]


def copy_mathjax() -> None:
    """Put the part of MathJax that the pages use, with its licence, into the output."""
    target = HTML / "mathjax"
    version = (MATHJAX / "package.json").read_text(encoding="utf-8")
    marker = target / "package.json"
    if marker.exists() and marker.read_text(encoding="utf-8") == version:
        return
    shutil.rmtree(target, ignore_errors=True)
    for part in MATHJAX_PARTS:
        source, copy = MATHJAX / "es5" / part, target / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copyfile(source, copy)
    shutil.copyfile(MATHJAX / "LICENSE", target / "LICENSE")
    shutil.copyfile(MATHJAX / "package.json", marker)


def settings_key() -> str:
    """Return what, when it changes, makes every page stale; Sphinx doesn't watch all of these."""
    watched = [ROOT / "_toc.yml", ROOT / "book" / "chapters.toml", ROOT / "pyproject.toml", ROOT / "_config.yml"]
    watched += sorted((ROOT / "tools" / "sphinx_ext").glob("*.py"))
    watched += [path for path in sorted((ROOT / "book" / "static").iterdir()) if path.suffix in (".css", ".js")]
    return os.environ.get("BOOK_REF", "main") + "".join(path.read_text(encoding="utf-8") for path in watched)


def build(strict: bool) -> int:
    """Run Jupyter Book; its output goes to _build/book.log, warnings and errors to the screen too."""
    BUILD.mkdir(exist_ok=True)
    key_file, key = BUILD / "settings.txt", settings_key()
    everything = not key_file.exists() or key_file.read_text(encoding="utf-8") != key
    # A strict build starts afresh: Sphinx reports a page's warnings only when it reads that page.
    if strict or everything:
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
        shutil.rmtree(HTML, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT), "--path-output", str(ROOT)]
    command += ["-W", "-n", "--keep-going"] if strict else []
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    log = BUILD / "book.log"
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode
    text = re.sub(r"\x1b\[[\d;]*m", "", log.read_text(encoding="utf-8", errors="replace"))
    log.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    if HTML.is_dir():  # after a fault too, so that what was built can be looked at
        copy_mathjax()
    told = [line for line in lines if "WARNING" in line or "ERROR" in line]
    for line in told:
        print(f"  {line.replace(str(ROOT) + os.sep, '')}")
    if code:
        if not told:
            print("\n".join(lines[-30:]))
        print(f"the book was not built without fault; everything it said is in {log.relative_to(ROOT)}")
        return code
    key_file.write_text(key, encoding="utf-8")
    return 0


def main() -> int:
    """Build, then say where to look."""
    start = time.monotonic()
    strict = "--strict" in sys.argv
    if not MATHJAX.is_dir():
        print("MathJax is missing: run `make book`, which installs it, rather than this script alone")
        return 1
    if not strict and toc.main():
        return 1
    code = build(strict)
    if code == 0:
        pages = sum(1 for folder in ("book", "notebooks") for _ in (HTML / folder).rglob("*.html"))
        print(f"built {pages} pages in {time.monotonic() - start:.0f} s")
        print(f"open      {(HTML / 'index.html').as_uri()}")
        print("or serve  make serve   (the search then shows excerpts too)")
    return code


if __name__ == "__main__":
    sys.exit(main())
