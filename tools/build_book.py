"""Build the HTML book from the committed notebooks: _build/html.

python tools/build_book.py            tolerant of nothing that would leave a page broken, but warnings don't stop it
python tools/build_book.py --strict   every warning is an error (what `make test` runs)
python tools/build_book.py --without-solutions   a site for students, without the solutions of exercises, in
                                      _build/students/_build/html (`make book SOLUTIONS=hide`)
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import book_map
import hide_solutions
import toc

ROOT = book_map.ROOT
BUILD = ROOT / "_build"
STUDENTS = BUILD / "students"  # a site of its own, so that nothing of the whole one is left in it
MATHJAX = ROOT / "node_modules" / "mathjax"
# What a page can ask for with the formulas of this book; the rest (other inputs, outputs, languages) stays behind.
MATHJAX_PARTS = ["tex-chtml.js", "output/chtml/fonts", "input/tex/extensions", "a11y", "sre"]


def copy_mathjax(html: Path) -> None:
    """Put the part of MathJax that the pages use, with its licence, into the output."""
    target = html / "mathjax"
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
    watched += [ROOT / "tools" / "hide_solutions.py"]
    return os.environ.get("BOOK_REF", "main") + "".join(path.read_text(encoding="utf-8") for path in watched)


def build(strict: bool, output: Path = ROOT, environment: dict[str, str] | None = None, *options: str) -> int:
    """Run Jupyter Book; its output goes to _build/book.log, warnings and errors to the screen too.

    Args:
        strict: whether a warning is an error.
        output: the folder that gets the folder _build.
        environment: more variables for Jupyter Book.
        options: more options for it.
    """
    build_folder = output / "_build"
    html = build_folder / "html"
    build_folder.mkdir(parents=True, exist_ok=True)
    key_file, key = build_folder / "settings.txt", settings_key()
    everything = not key_file.exists() or key_file.read_text(encoding="utf-8") != key
    # A strict build starts afresh: Sphinx reports a page's warnings only when it reads that page.
    if strict or everything:
        shutil.rmtree(build_folder / ".doctrees", ignore_errors=True)
        shutil.rmtree(html, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT), "--path-output", str(output)]
    command += ["-W", "-n", "--keep-going"] if strict else []
    command += options
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", **(environment or {})}
    log = build_folder / "book.log"
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode
    text = re.sub(r"\x1b\[[\d;]*m", "", log.read_text(encoding="utf-8", errors="replace"))
    log.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    if html.is_dir():  # after a fault too, so that what was built can be looked at
        copy_mathjax(html)
    told = [line for line in lines if "WARNING" in line or "ERROR" in line]
    for line in told:
        print(f"  {line.replace(str(ROOT) + os.sep, '')}")
    if code:
        if not told:
            print("\n".join(lines[-30:]))
        print(f"the book was not built without fault; everything it said is in {log}")
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
    hidden = "--without-solutions" in sys.argv
    output = STUDENTS if hidden else ROOT
    code = build(strict, output, {hide_solutions.SWITCH: "hide"} if hidden else None)
    if code == 0:
        html = output / "_build" / "html"
        pages = sum(1 for folder in ("book", "notebooks") for _ in (html / folder).rglob("*.html"))
        print(f"built {pages} pages in {time.monotonic() - start:.0f} s{', without solutions' if hidden else ''}")
        print(f"open      {(html / 'index.html').as_uri()}")
        if not hidden:
            print("or serve  make serve   (the search then shows excerpts too)")
    return code


if __name__ == "__main__":
    sys.exit(main())
