"""How much of what the reader is taught, and how much of it at once: shares of what is drawn. A page counts as one
with all that is cut out of it, and is as much work as a hundred lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.batches import Budget, Shares
from training.dialogues.fields import ask_field
from training.dialogues.tools import save_answer
from training.dialogues.whole import read_whole
from training.render.clippings import parts, parts_and_page
from training.render.lines import line, word
from training.render.nothing import nothing
from training.render.paragraphs import chat_read, paragraph
from training.render.tables import table


@dataclass(frozen=True)
class Recipe:
    """`spelled`: the share of conversations that are answered letter by letter, each of which is a token.
    `least_pixels`: smaller pictures are made larger, less so than where the reader is served: a batch has more of them.
    `enlarged`: the share of conversations whose pictures are made larger whatever their size is.
    """

    shares: Shares
    budget: Budget  # of a batch
    spelled: float = 0.0
    least_pixels: int = 280 * 280
    enlarged: float = 0.0


SMALL = 56 * 56  # pixels: many to a batch

# Letters before words, and words before documents: a model that cannot read letters learns nothing from a form, and
# pages are most of the work.
LETTERS = Recipe({word: 1.0}, Budget(14_000, 18_400, 2_800, 520), spelled=0.8, least_pixels=SMALL)
BEGINNING = Recipe(
    {line: 0.73, paragraph: 0.20, table: 0.02, chat_read: 0.02, ask_field: 0.02, nothing: 0.01},
    Budget(40_000, 22_000, 8_000, 240), spelled=0.2, least_pixels=SMALL,
)  # fmt: skip
# Where things are on a page is learnt from parts of it, of which many come of one page. A little of all else is
# there so that it is not forgotten.
LAYOUTS = Recipe(
    {
        parts: 0.10, parts_and_page: 0.04, line: 0.40, paragraph: 0.20, table: 0.05, chat_read: 0.02, ask_field: 0.08,
        save_answer: 0.04, read_whole: 0.01, nothing: 0.01,
    },
    Budget(48_000, 18_800, 4_200, 70), least_pixels=SMALL,
)  # fmt: skip
WHOLE = Recipe(
    {
        line: 0.16, paragraph: 0.13, table: 0.09, chat_read: 0.03, ask_field: 0.37, save_answer: 0.11, read_whole: 0.02,
        nothing: 0.02, parts: 0.02, parts_and_page: 0.05,
    },
    Budget(48_000, 18_200, 3_600, 64), enlarged=0.1,
)  # fmt: skip
RECIPES = {"letters": LETTERS, "beginning": BEGINNING, "layouts": LAYOUTS, "whole": WHOLE}
