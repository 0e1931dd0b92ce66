"""Documents say what their fields say, once, and what they add up adds up."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.worlds import small_world
from training.render.documents import LAYOUTS, draft, finish
from training.render.drafts import Draft
from training.render.fields import TOKENS, Field, are_clear, tokens
from training.render.sales import Item, Sale
from training.world import Split

SPLITS: tuple[Split, ...] = ("train", "held-out")
SEEDS = st.integers(0, 2**32 - 1)
BOTH = st.sampled_from(SPLITS)
ONE_KIND = [(split, layout) for split in SPLITS for layout in dict.fromkeys(LAYOUTS[split])]


def drafted(split: Split, seed: int) -> Draft:
    return draft(random.Random(seed), small_world(split))


@given(SEEDS, BOTH)
@settings(max_examples=40, deadline=None)
def test_every_value_is_printed(seed: int, split: Split) -> None:
    made = drafted(split, seed)
    printed = Counter(made.printed)
    for field in made.fields:
        for line in field.value.split("\n"):
            assert any(line in text for text in printed), (made.layout, field)


@given(SEEDS, BOTH)
@settings(max_examples=40, deadline=None)
def test_a_question_has_one_answer(seed: int, split: Split) -> None:
    made = drafted(split, seed)
    assert are_clear(made.fields)
    for one, other in combinations(made.fields, 2):
        assert not {name.lower() for name in one.names} & {name.lower() for name in other.names}
        if not one.kind.startswith("item") and not other.kind.startswith("item"):
            assert one.value != other.value


@given(SEEDS, BOTH)
@settings(max_examples=40, deadline=None)
def test_text_is_on_the_sheet_and_on_no_other_text(seed: int, split: Split) -> None:
    made = drafted(split, seed)
    assert tokens(made.sheet.width, made.sheet.height) <= TOKENS
    assert 300 <= made.sheet.width <= 1000
    for ink in made.sheet.inks:
        left, top, right, bottom = ink.box
        assert left >= 0 and top >= 0 and right <= made.sheet.width and bottom <= made.sheet.height, (made.layout, ink)
    for one, other in combinations(made.sheet.inks, 2):
        width, height = (min(one.box[at + 2], other.box[at + 2]) - max(one.box[at], other.box[at]) for at in (0, 1))
        assert width <= 1 or height <= 1, (made.layout, one.text, other.text)


@pytest.mark.parametrize(("split", "layout"), ONE_KIND)
def test_each_layout_can_be_drawn(split: Split, layout: object) -> None:
    rng = random.Random(3)
    made = draft(rng, small_world(split), (layout,))  # type: ignore[arg-type]
    shown = finish(rng, made)
    height, width, _ = shown.pixels.shape
    assert shown.pixels.dtype == np.uint8 and tokens(width, height) <= TOKENS
    assert int(shown.pixels.max()) - int(shown.pixels.min()) > 60
    assert len(shown.fields) == len(made.fields)


@given(SEEDS, BOTH)
@settings(max_examples=8, deadline=None)
def test_equal_generators_make_equal_documents(seed: int, split: Split) -> None:
    one, other = (finish(rng, draft(rng, small_world(split))) for rng in (random.Random(seed), random.Random(seed)))
    assert one.fields == other.fields and one.lines == other.lines
    assert np.array_equal(one.pixels, other.pixels)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_printed_sums_hold(seed: int) -> None:
    rng = random.Random(seed)
    split = rng.choice(SPLITS)
    receipts = tuple(layout for layout in LAYOUTS[split] if layout.__module__.endswith(("receipts", "invoices")))
    made = draft(rng, small_world(split), receipts)
    by_kind = {field.kind: cents(field.value) for field in made.fields if field.kind in SUMS}
    items = sum(cents(field.value) for field in made.fields if field.kind in amounts_of(made))
    subtotal = by_kind.get("subtotal", by_kind["total"])
    assert items == subtotal
    included = any("incl." in field.label.lower() for field in made.fields if field.kind == "tax")
    tax = 0 if included else by_kind["tax"]
    assert by_kind["total"] == subtotal + by_kind.get("discount", 0) + tax + by_kind.get("tip", 0)
    if "cash" in by_kind:
        assert by_kind["cash"] - by_kind["total"] == by_kind["change"]


SUMS = frozenset({"subtotal", "discount", "tax", "tip", "total", "cash", "change"})


def amounts_of(made: Draft) -> tuple[str, ...]:
    return ("item_amount",) if made.kind == "invoice" else ("item_price", "item_amount")


def cents(printed: str) -> int:
    digits = re.sub(r"[^0-9]", "", printed)
    return -int(digits) if printed.startswith("-") else int(digits)


def test_a_tax_that_is_included_is_a_part_of_the_total() -> None:
    sold = Sale((Item("Tea", 2, 300), Item("Bread", 1, 600)), discount=0, rate=20.0, included=True, tip=0)
    assert (sold.subtotal, sold.tax, sold.total) == (1200, 200, 1200)


def test_names_that_two_fields_share_are_not_clear() -> None:
    one = Field("date", "1 May 2020", ("date",), "Date")
    assert are_clear([one, Field("due", "2 May 2020", ("due date",), "Due")])
    assert not are_clear([one, Field("due", "2 May 2020", ("due date", "date"), "Due")])
    assert not are_clear([one, Field("due", "1 May 2020", ("due date",), "Due")])
    assert not are_clear([one, Field("other", "X1", ("other",), "Date")])


def test_lines_are_what_is_printed() -> None:
    for seed in range(30):
        made = drafted("train", seed)
        if made.lines:
            inks = sorted(made.sheet.inks, key=lambda ink: (ink.y + ink.type.ascent, ink.x))
            assert squeezed("".join(ink.text for ink in inks)) == squeezed("".join(made.lines)), made.layout


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_layouts_are_never_in_both_splits() -> None:
    train, held_out = (
        {draft(random.Random(1), small_world(split), (layout,)).layout for layout in LAYOUTS[split]} for split in SPLITS
    )
    assert len(train) >= 10 and len(held_out) >= 4 and not train & held_out
