"""The Python blocks on models of other libraries in book/running.md."""

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[1] / "book" / "running.md").read_text(encoding="utf-8")
SECTION = PAGE.split("(running-libraries)=")[1].split("\n(running-")[0]
SHARED, *BLOCKS = re.findall(r"^```python\n(.*?)^```", SECTION, flags=re.MULTILINE | re.DOTALL)


def run_block(block):
    """Run the shared lines and a block, return its kernel."""
    names = {}
    exec(compile(SHARED + block, "running.md", "exec"), names)
    return names["ntk"]
