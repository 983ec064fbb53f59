import sys
from pathlib import Path

# The checks are scripts of tools/, imported here as they import each other.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
