"""Every Python block of README.md runs, and the files it points to exist."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
LINKS = sorted(set(re.findall(r"\]\((?!https?://|#)([^)#]+)", README)))


def test_there_are_blocks_and_links():
    assert BLOCKS
    assert LINKS


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs_and_keeps_its_word(block, capsys):
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    shapes = {name: names[name].shape for name in ("nngp", "ntk", "f", "many")}
    assert shapes == {"nngp": (5, 5), "ntk": (5, 5), "f": (5, 1), "many": (500, 5, 1)}
    # A covariance entry of N Gaussian draws has standard error sqrt(q11 q22 + q12^2)/sqrt(N) <= sqrt(2/N) q_max. At
    # width n and depth L the outputs are not quite Gaussian: their excess kurtosis, about 15 L/n = 0.35 for this
    # network, adds 9 %. 15 entries, gate at 5 standard errors.
    assert names["deviation"] < 5 * 1.09 * (2 / 500) ** 0.5
    assert jnp.linalg.eigvalsh(names["ntk"] - names["nngp"]).min() > 0
    assert f"{names['deviation']:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize("target", LINKS)
def test_linked_file_exists(target):
    assert (ROOT / target).exists()
