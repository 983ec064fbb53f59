"""Leave out what a page loads and does not need.

The theme brings its icons twice: as a script of 540 kB (compressed), which draws them when the page is there, and as a
font of 150 kB, which shows them at once. The script goes. So do the maps of scripts and styles, which only their
authors need.
"""

import re

_ICON_SCRIPT = re.compile(r'\s*<script defer src="[^"]*/scripts/fontawesome\.js[^"]*"></script>')


def lighten(app, exception):
    """Take the script out of every page and out of the folder."""
    if exception or app.builder.format != "html":
        return
    for page in app.outdir.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        lighter = _ICON_SCRIPT.sub("", text)
        if lighter != text:
            page.write_text(lighter, encoding="utf-8")
    static = app.outdir / "_static"
    for path in {*static.rglob("*.map"), *static.glob("scripts/fontawesome.*")}:
        path.unlink()


def setup(app):
    """Register the handler."""
    app.connect("build-finished", lighten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
