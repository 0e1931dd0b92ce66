"""How much of what the reader is taught: shares of conversations. A page counts as one, and is as much work as forty
lines.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.dialogues.fields import ask_field
from training.dialogues.tools import save_answer
from training.dialogues.whole import read_whole
from training.render.lines import line
from training.render.nothing import nothing
from training.render.pages import page
from training.render.paragraphs import chat_read, paragraph
from training.render.tables import table
from training.samples import Maker

# Words before documents: a model that cannot read letters learns nothing from a form, and pages are most of the work.
BEGINNING: Mapping[Maker, float] = {
    line: 0.73, paragraph: 0.20, table: 0.02, chat_read: 0.02, ask_field: 0.02, nothing: 0.01,
}  # fmt: skip
WHOLE: Mapping[Maker, float] = {
    line: 0.38, paragraph: 0.26, table: 0.10, page: 0.04, chat_read: 0.04, ask_field: 0.09, save_answer: 0.05,
    read_whole: 0.02, nothing: 0.02,
}  # fmt: skip
RECIPES = {"beginning": BEGINNING, "whole": WHOLE}
