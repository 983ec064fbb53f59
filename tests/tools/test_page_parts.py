"""What the extensions put into pages, on small pieces of HTML."""

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "sphinx_ext"))
import api_reference
import cross_links
import figure_data
import page_meta
import page_tools
from docutils import nodes


def test_prose_is_replaced_and_nothing_else():
    html = '<p title="Figure 1.2">Figure 1.2 <a href="#x">Figure 1.2</a> <code>Figure 1.2</code><br>Figure 1.2</p>'
    marked = cross_links.replace_in_prose(html, re.compile(r"Figure 1\.2"), lambda m: "HERE")
    assert marked == '<p title="Figure 1.2">HERE <a href="#x">Figure 1.2</a> <code>Figure 1.2</code><br>HERE</p>'


def test_figures_and_claims_get_an_id_once():
    figure = '<figure class="ntk-figure{}"><img alt="a"><figcaption>Figure {}. Text.</figcaption></figure>'
    html = figure.format("", "5.1") + figure.format(" ntk-slider", "5.2") + figure.format("", "without number")
    html += "<td>says<br><code>topic.name</code></td>" * 2
    marked = cross_links.add_anchors(html)
    assert re.findall(r'<figure id="([^"]*)" class="([^"]*)"', marked) == [
        ("figure-5-1", "ntk-figure"),
        ("figure-5-2", "ntk-figure ntk-slider"),
    ]
    assert marked.count('<code id="claim-topic-name">topic.name</code>') == 1
    assert marked.count("<code>topic.name</code>") == 1


def test_mentions_become_links_only_where_there_is_such_a_place(monkeypatch):
    there = {"figure-5-1", "eq-5-10", "theorem-1=thm-x"}
    monkeypatch.setattr(cross_links, "places", lambda slug: there)
    page = "notebooks/05_interpolation_smoothness"
    marked = cross_links.link_mentions("<p>Figure 5.1, Figure 5.9, Theorem 5.1, eq. (5.10), eq. (5.99)</p>", page)
    assert re.findall(r'href="([^"]*)">([^<]*)<', marked) == [
        ("#figure-5-1", "Figure 5.1"),
        ("#thm-x", "Theorem 5.1"),
        ("#eq-5-10", "(5.10)"),
    ]
    apart = r'<span class="math">\(x \text{ by (5.10)}\)</span><span class="caption-number">Theorem 5.1 </span>'
    assert cross_links.link_mentions(apart, page) == apart, "neither in a formula nor in a title"
    elsewhere = cross_links.link_mentions("<td>derived, eq. (5.10)</td>", "book/scoreboard")
    assert (
        'eq. <a class="reference internal" href="../notebooks/05_interpolation_smoothness.html#eq-5-10">' in elsewhere
    )


def test_names_of_the_package_are_found_in_code_but_not_in_words():
    code = 'from ntk_helpers.nt import stax\nk = nh.fcn_kernel(x)["nh.not_this"]\nother.sphere_spectrum(k)\nnh.train'
    assert api_reference.names_in(code) == {"stax", "fcn_kernel", "train"}


def test_a_name_links_to_its_entry(monkeypatch):
    monkeypatch.setattr(api_reference, "public", lambda: {"fcn_kernel": "limits"})
    name = '<span class="n">nh</span><span class="o">.</span><span class="n">{}</span>'
    inline = '<code class="docutils literal notranslate"><span class="pre">nh.fcn_kernel(x)</span></code>'
    html = name.format("fcn_kernel") + name.format("unknown") + inline
    marked = api_reference.link_names(html, "notebooks/05_x")
    assert marked.count('<a class="ntk-api" href="../book/api/limits.html#ntk_helpers.fcn_kernel">') == 2
    assert name.format("unknown") in marked


def test_an_entry_of_bibtex():
    common = {"year": "2026", "book": "The Book", "authors": "Some People", "version": "1.2", "url": "https://x.org/a"}
    entry = page_tools.bibtex("notebooks/05_some_topic", "Some topic", **common)
    assert entry.startswith("@incollection{ntkbook-05,\n")
    for line in (
        "author    = {{Some People}}",
        "title     = {Some topic}",
        "booktitle = {The Book}",
        "chapter   = {5}",
    ):
        assert line in entry
    whole = page_tools.bibtex("book/intro", "The Book", **common)
    assert whole.startswith("@book{ntkbook,\n")
    assert "booktitle" not in whole


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A short sentence that is long enough to say something.", None),
        (
            "A first sentence that has a length of more than eighty characters, as this one does. " * 4,
            "as this one does.",
        ),
        ("word " * 60, " …"),
    ],
)
def test_a_description_ends_where_a_sentence_or_word_ends(text, said):
    section = nodes.section("", nodes.title("", "T"), nodes.paragraph("", "Time: short."), nodes.paragraph("", text))
    found = page_meta.description(section)
    assert found == (text if said is None else found)
    assert found.endswith(said or text)
    assert len(found) <= page_meta.DESCRIPTION + 2


def test_data_of_figures_is_linked_where_it_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(figure_data.book_map, "ROOT", tmp_path)
    figure = '<figure class="ntk-figure"><img alt="a"><figcaption>F</figcaption></figure>'
    bundles = [{"text/html": [figure], "text/csv": ["x,y\n", "1,2\n"]}, {"text/html": figure}, {"text/plain": "no"}]
    cells = [{"cell_type": "code", "outputs": [{"data": bundle}]} for bundle in bundles]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "05_topic.ipynb").write_text(json.dumps({"cells": cells}))

    class App:
        outdir = tmp_path

    context = {"body": f"<p>{figure}</p><p>{figure}</p>"}
    figure_data.add_links(App, "notebooks/05_topic", "page.html", context, None)
    assert context["body"].count("<a ") == 1
    assert (
        '<a class="ntk-button" href="../_data/05-figure-1.csv" download>Data (CSV)</a></div></figure></p>'
        in context["body"]
    )
    assert (tmp_path / "_data" / "05-figure-1.csv").read_text() == "x,y\n1,2\n"
    with pytest.raises(ValueError, match="2 figures in the notebook, 1 on its page"):
        figure_data.add_links(App, "notebooks/05_topic", "page.html", {"body": figure}, None)


def test_a_long_signature_is_no_list_of_definitions():
    parameter = '<dd><em class="sig-param"><span class="n">x</span></em>,</dd>\n'
    html = f'<dl class="py"><dt>f(<dl>\n{parameter * 2}</dl>\n)</dt><dd><dl><dt>a</dt><dd>b</dd></dl></dd></dl>'
    plain = api_reference.plain_parameters(html)
    assert plain.count("<dd>") == 2
    assert plain.count('<span class="ntk-parameter"><em class="sig-param">') == 2
    assert "<dl><dt>a</dt><dd>b</dd></dl>" in plain


def test_a_page_for_students_has_no_way_to_the_solutions(monkeypatch):
    for switch, count in (("", 1), ("hide", 0)):
        monkeypatch.setenv(page_tools.hide_solutions.SWITCH, switch)
        line = page_tools._tools(None, "notebooks/05_topic", "https://github.com/some/where", "main")
        assert line.count("colab.research.google.com") == count
        assert "Download notebook" in line
