"""Scores against their definitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training.scores import cells_of, edit_distance, matches, overlap
from upright.cli.parse.protocol import Block, read_layout

WORDS = st.text("abc", max_size=12)


def by_definition(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for index, character in enumerate(one, 1):
        before, row[0] = row[0], index
        for place, theirs in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (character != theirs))
    return row[-1]


@given(WORDS, WORDS)
def test_edit_distance(one: str, other: str) -> None:
    assert edit_distance(one, other) == by_definition(one, other)


def test_long_texts_are_compared_too() -> None:
    text = "the quick brown fox jumps over the lazy dog " * 40
    assert edit_distance(text, text) == 0
    assert edit_distance(text, text.replace("fox", "ox")) == 40


def test_blocks_are_read_and_matched_once() -> None:
    one, two = (0, 0, 100, 50), (0, 60, 100, 90)
    answer = "".join(
        f"<|box_start|>{' '.join(map(str, box))}<|box_end|><|ref_start|>text<|ref_end|><|rotate_up|>\n"
        for box in (one, two)
    )
    found = read_layout(answer)
    assert found == [Block("text", one), Block("text", two)]
    assert matches(found, found) == 2
    assert matches(found, [Block("text", one), Block("title", two)]) == 1, "of another kind"
    assert matches([found[0], found[0]], found) == 1, "one cannot be found twice"
    assert matches([Block("text", (0, 0, 100, 20))], found) == 0, "less than half"
    assert read_layout("nothing") == []


@given(st.tuples(*(st.integers(0, 30),) * 4), st.tuples(*(st.integers(0, 30),) * 4))
def test_overlap_is_a_share(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> None:
    def ordered(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        return min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]) + 1, max(box[1], box[3]) + 1

    one, other = ordered(one), ordered(other)
    assert 0.0 <= overlap(one, other) == overlap(other, one) <= 1.0
    assert overlap(one, one) == 1.0


def test_cells() -> None:
    assert cells_of("<fcel>a  b<lcel><nl><ecel><fcel>c<nl>") == {
        (0, 0): ("fcel", "a b"), (0, 1): ("lcel", ""), (1, 0): ("ecel", ""), (1, 1): ("fcel", "c"),
    }  # fmt: skip
