from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upright.cli.parse.protocol import FORMULA, TABLE, TEXT, Block, read_layout, to_read


def said(*blocks: Block, tail: str = "") -> str:
    turned = {0: "<|rotate_up|>", 90: "<|rotate_right|>", 180: "<|rotate_down|>", 270: "<|rotate_left|>"}
    return "\n".join(
        f"<|box_start|>{' '.join(map(str, block.box))}<|box_end|><|ref_start|>{block.kind}<|ref_end|>"
        f"{turned[block.angle]}{'txt_contd_tgt' if block.continued else tail}"
        for block in blocks
    )


SPANS = st.tuples(st.integers(0, 999), st.integers(1, 1000)).filter(lambda pair: pair[0] < pair[1])
BLOCKS = st.builds(
    lambda kind, across, down, angle, continued: Block(
        kind, (across[0], down[0], across[1], down[1]), angle, continued
    ),
    st.sampled_from(["text", "doc_title", "table", "page_number"]), SPANS, SPANS, st.sampled_from([0, 90, 180, 270]),
    st.booleans(),
)  # fmt: skip


@given(st.lists(BLOCKS, max_size=5))
def test_what_is_said_is_read(blocks: list[Block]) -> None:
    assert read_layout(said(*blocks)) == blocks


def test_what_is_no_place_on_a_page_is_no_block() -> None:
    assert read_layout(said(Block("text", (10, 10, 10, 20)))) == []
    assert read_layout(said(Block("text", (10, 10, 20, 1001)))) == []
    assert read_layout("The quick brown fox") == []
    assert read_layout("<|box_start|>1 2 3 4<|box_end|> <|ref_start|>text<|ref_end|>") == [], "nothing stands between"
    assert read_layout("<|box_start|>1 2 3 4<|box_end|><|ref_start|>text<|ref_end|>") == [Block("text", (1, 2, 3, 4))]


def test_each_kind_is_asked_about_in_its_way() -> None:
    box = (0, 0, 9, 9)
    kinds = ("text", "table", "equation", "image", "header", "list")

    assert to_read([Block(kind, box) for kind in kinds]) == {0: TEXT, 1: TABLE, 2: FORMULA, 4: TEXT, 5: TEXT}
    assert to_read([Block("list", box), Block("list_item", box)]) == {1: TEXT}, "a list is read by its items"
