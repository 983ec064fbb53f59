import sys
from pathlib import Path

# The tools are scripts that import each other; the tests import them the same way.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
