import pytest

import ntk_helpers as nh
from ntk_helpers.bookkit import tables


@pytest.fixture
def shown(monkeypatch):
    """What a notebook gets: (text, html)."""
    found = []
    monkeypatch.setattr(tables, "emit", lambda text, html: found.append((text, html)))
    monkeypatch.setattr(tables, "in_jupyter", lambda: True)
    return found


def test_readers_see_the_numbers_and_nbval_the_label(shown):
    nh.show_numbers("loss < 1:", 0.123, [4, 5])
    assert shown == [("loss < 1:", "<p>loss &lt; 1: 0.123 [4, 5]</p>")]


def test_readers_see_the_table_and_nbval_the_label(shown):
    nh.show_table(["s", "|K|"], [[0.5, "+0.01"], [0.25, "<0"]], label="exponents")
    ((text, html),) = shown
    assert text == "Table: exponents"
    assert [html.count(tag) for tag in ("<tr>", "<th ", "<td ")] == [3, 2, 4]
    assert all(part in html for part in ("&lt;0", 'class="ntk-table"', 'aria-label="exponents"', 'tabindex="0"'))


def test_a_script_prints_all_of_it(capsys):
    nh.show_numbers("loss:", 0.123)
    nh.show_table(["s", "|K|"], [[0.5, "+0.01"]], label="exponents")
    assert capsys.readouterr().out.splitlines() == ["loss: 0.123", "Table: exponents", "s  |K|", "0.5  +0.01"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nh.show_numbers(" ", 1), "label: numbers need a word"),
        (lambda: nh.show_table(["a"], [[1]], label=""), "label: a table needs a word"),
        (lambda: nh.show_table(["a", "b"], [[1]], label="x"), r"rows must have 2 entries, .*got \[1\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
