from __future__ import annotations

from upright.cli.parse.markdown import markdown_of
from upright.cli.parse.protocol import Block

BOX = (0, 0, 9, 9)
BLOCKS = [
    Block("header", BOX), Block("doc_title", BOX), Block("paragraph_title", BOX), Block("text", BOX),
    Block("text", BOX, continued=True), Block("table", BOX), Block("image", BOX), Block("equation", BOX),
    Block("code", BOX), Block("text", BOX),
]  # fmt: skip
TEXTS = {
    0: "Chapter 1", 1: "A\ntitle", 2: "A section", 3: "It goes over the col-", 4: "umn's end.", 5: "<fcel>a<fcel>b<nl>",
    7: "x = 1", 8: "x = 1", 9: "",
}  # fmt: skip


def test_each_kind_has_its_form() -> None:
    assert markdown_of(BLOCKS, TEXTS).split("\n\n") == [
        "# A title", "## A section", "It goes over the column's end.", "| a | b |\n|---|---|", "<!-- image -->",
        "$$\nx = 1\n$$", "```\nx = 1\n```",
    ]  # fmt: skip


def test_what_belongs_to_the_page_is_printed_on_request() -> None:
    assert markdown_of(BLOCKS[:2], TEXTS, furniture=True) == "Chapter 1\n\n# A title"


def test_a_cell_in_what_is_no_table_is_a_space() -> None:
    block = Block("text", BOX)
    assert markdown_of([block], {0: "Bill to: <fcel>Northern Lights<nl>"}) == "Bill to: Northern Lights"
    assert markdown_of([Block("code", BOX)], {0: "<nl>"}) == "```\n<nl>\n```"
