"""The code of book/running.md that shows models of other libraries runs."""

import pytest
from running import BLOCKS, SHARED, run_block


def test_every_block_is_tested():
    """Those of Flax in tests/finite/tangents/test_entk_flax.py, which the weekly workflow runs."""
    assert "import" in SHARED
    libraries = [block.split()[1].split(".")[0] for block in BLOCKS]
    assert libraries == ["flax", "flax", "equinox", "ntk_helpers"]


@pytest.mark.parametrize("block", [block for block in BLOCKS if "flax" not in block], ids=["equinox", "stax"])
def test_block(block):
    assert run_block(block).shape == (4, 4, 2, 2)
