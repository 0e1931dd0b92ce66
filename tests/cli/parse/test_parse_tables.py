from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upright.cli.parse.tables import grid_of, table_text


def test_plain_tables_become_markdown() -> None:
    assert table_text("<fcel>Item<fcel>Price<nl><fcel>Tea | pot<ecel><nl>") == (
        "| Item | Price |\n|---|---|\n| Tea \\| pot |  |"
    )


def test_merged_cells_become_html() -> None:
    said = "<fcel>All<lcel><fcel>x < y<nl><fcel>b<fcel>c<ucel><nl>"
    assert grid_of(said)[0][1] == ("lcel", "")
    assert table_text("<fcel>All<lcel><fcel>A & B<nl><fcel>b<fcel>c<ucel><nl>") == (
        '<table>\n<tr><td colspan="2">All</td><td rowspan="2">A &amp; B</td></tr>\n'
        "<tr><td>b</td><td>c</td></tr>\n</table>"
    )


def test_what_is_cut_off_or_wrong_is_filled_up() -> None:
    assert table_text("<fcel>a<fcel>b<nl><fcel>c") == "| a | b |\n|---|---|\n| c |  |"
    assert table_text("<lcel><fcel>b<nl><xcel><fcel>d<nl>") == "|  | b |\n|---|---|\n|  | d |"
    assert table_text("no table") == "" == table_text("<nl><nl>")


@given(st.lists(st.sampled_from(["<fcel>a", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"])))
def test_whatever_is_said_no_text_is_lost(tokens: list[str]) -> None:
    assert table_text("".join(tokens)).count("a") >= tokens.count("<fcel>a")
