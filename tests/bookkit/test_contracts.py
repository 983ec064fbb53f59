import re

import pytest

from ntk_helpers.bookkit.contracts import (
    ContractError,
    at_scale,
    book_dir,
    chapter_names,
    load_contracts,
    parse_contracts,
)

GOOD = {
    "paper": '"ours"',
    "source": '"derived, eq. (1)"',
    "statement": '"a number is one"',
    "kind": '"equals"',
    "expected": "1.0",
    "rtol": "0.03",
    "why": '"rounding"',
    "scales": '["quick", "full"]',
}


def toml(_tail="", _drop=(), **changes):
    lines = [f"{k} = {v}" for k, v in {**GOOD, **changes}.items() if k not in _drop]
    return "[topic.name]\n" + "\n".join(lines) + "\n" + _tail


def test_a_contract_is_read_as_written():
    contract = parse_contracts(toml(), "f")["topic.name"]
    assert (contract.id, contract.kind, contract.expected, contract.rtol) == ("topic.name", "equals", 1.0, 0.03)
    assert contract.scales == ("quick", "full")
    assert contract.tolerance == pytest.approx(0.03)


def test_overrides_apply_at_their_scale_alone():
    contract = parse_contracts(toml("[topic.name.full]\nexpected = 2.0\nrtol = 0.01\n"), "f")["topic.name"]
    assert (at_scale(contract, "quick").expected, at_scale(contract, "quick").rtol) == (1.0, 0.03)
    assert (at_scale(contract, "full").expected, at_scale(contract, "full").rtol) == (2.0, 0.01)


@pytest.mark.parametrize("key", ["paper", "source", "statement", "kind", "expected", "why", "scales"])
def test_a_missing_key_is_named_with_file_and_claim(key):
    with pytest.raises(ContractError, match=rf"book/claims/x\.toml: topic\.name: '{key}' is missing"):
        parse_contracts(toml(_drop=(key,)), "book/claims/x.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": "1"}, "unknown key 'tolerance'"),
        ({"kind": '"about"'}, "unknown kind 'about'"),
        ({"why": '" "'}, "'why' must be text"),
        ({"paper": "3"}, "'paper' must be text"),
        ({"scales": '["quick", "huge"]'}, "'scales' must list"),
        ({"scales": '"quick"'}, "'scales' must list"),
        ({"_drop": ("rtol",)}, "no tolerance"),
        ({"rtol": "-0.1"}, "'rtol' must be a finite number"),
        ({"rtol": "nan"}, "'rtol' must be a finite number"),
        ({"expected": "nan"}, "'expected' must be a finite number"),
        ({"expected": "true"}, "'expected' must be a finite number"),
        ({"expected": "[1.0, 2.0]"}, "'expected' must be a finite number"),
        ({"sigmas": "4"}, "'sigmas' and 'max_se' go together"),
        ({"max_se": "0.1"}, "'sigmas' and 'max_se' go together"),
        ({"min_gap": "0.1"}, "'min_gap' has no meaning for kind 'equals'"),
        ({"paper_value": "2.0"}, "'paper_value'"),
        ({"kind": '"between"', "_drop": ("rtol",)}, r"must be \[lo, hi\]"),
        ({"kind": '"between"', "_drop": ("rtol",), "expected": "[2.0, 1.0]"}, r"must be \[lo, hi\]"),
        ({"kind": '"between"', "expected": "[1.0, 2.0]"}, "'rtol' has no meaning"),
        ({"kind": '"ordering"', "_drop": ("rtol",)}, "lists two or more names"),
        ({"kind": '"ordering"', "_drop": ("rtol",), "expected": '["a"]'}, "lists two or more names"),
        ({"kind": '"ordering"', "_drop": ("rtol",), "expected": '["a", "a"]'}, "lists two or more names"),
        ({"kind": '"ordering"', "_drop": ("rtol",), "expected": "[1, 2]"}, "lists names"),
        ({"kind": '"slope"'}, "'rtol' has no meaning"),
        ({"kind": '"refutes"'}, "'paper_value'"),
        ({"kind": '"refutes"', "paper_value": "1.02"}, "overlap"),
        ({"kind": '"refutes"', "paper_value": "[0.0, 0.98]"}, "overlap"),
        ({"kind": '"refutes"', "paper_value": "[3.0, 2.0]"}, "'paper_value' must be"),
        ({"needs": '"MNIST"'}, "'needs' is for t4 and full only"),
        ({"_tail": "[topic.name.t4]\nexpected = 2.0\n"}, "overrides a scale that 'scales' does not list"),
        ({"_tail": '[topic.name.full]\nkind = "at_most"\n'}, "may override"),
        ({"_tail": "[topic.name.full]\nexpected = inf\n"}, "'expected' must be a finite number"),
    ],
)
def test_a_broken_rule_is_named(changes, message):
    with pytest.raises(ContractError, match=message):
        parse_contracts(toml(**changes), "f")


@pytest.mark.parametrize("text", ["x = 1\n", "[topic]\nname = 1\n", "[topic.name\n"])
def test_what_is_no_table_of_claims_is_refused(text):
    with pytest.raises(ContractError, match="f: "):
        parse_contracts(text, "f")


def test_a_paper_that_says_at_most_is_an_interval_with_an_infinite_end():
    text = toml(kind='"refutes"', expected="2.0", paper_value="[-inf, 1.5]")
    assert parse_contracts(text, "f")["topic.name"].paper_value == (float("-inf"), 1.5)


def test_a_slope_has_a_largest_half_width_without_asking():
    text = toml(_drop=("rtol",), kind='"slope"')
    assert parse_contracts(text, "f")["topic.name"].max_half_width == 0.1


def test_the_books_own_contracts_are_sound():
    assert (book_dir() / "claims").is_dir()
    for chapter in chapter_names():
        assert re.fullmatch(r"\d\d_\w+", chapter)
        assert load_contracts(chapter)


def test_an_unknown_chapter_lists_the_known(book):
    book(toml())
    with pytest.raises(FileNotFoundError, match="chapters with a contract: 90_demo"):
        load_contracts("91_other")


def test_no_book_anywhere_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("NTK_BOOK_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="looked in"):
        book_dir()
