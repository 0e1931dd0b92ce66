"""Blocks of a page and what was read in them, to Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upright.cli.parse.protocol import FORMULAS, TABLES, UNREAD, Block
from upright.cli.parse.tables import table_text, without_cells

TITLES = {"doc_title": "# ", "title": "# ", "paragraph_title": "## "}
AS_SAID = TABLES | {"code"}  # may hold what looks like a cell
FURNITURE = frozenset({"header", "footer", "page_number", "page_footnote"})  # of a page, and no part of its text


def markdown_of(blocks: Sequence[Block], texts: Mapping[int, str], furniture: bool = False) -> str:
    """`texts`: what was read, by index of its block. `furniture`: headers, footers and page numbers too."""
    parts: list[str] = []
    for index, block in enumerate(blocks):
        if block.kind in FURNITURE and not furniture:
            continue
        text = texts.get(index, "").strip()
        if block.kind not in AS_SAID:
            text = without_cells(text)
        if block.kind in TABLES:
            text = table_text(text) or text
        elif text and block.kind in FORMULAS:
            text = text if text.startswith("$") else f"$$\n{text}\n$$"
        elif text and block.kind == "code":
            text = f"```\n{text}\n```"
        elif text and block.kind in TITLES:
            text = TITLES[block.kind] + " ".join(text.split())
        elif block.kind in UNREAD:
            text = f"<!-- {block.kind} -->"
        if text and block.continued and parts:
            parts[-1] = _joined(parts[-1], text)
        elif text:
            parts.append(text)
    return "\n\n".join(parts)


def _joined(before: str, after: str) -> str:
    """A word that was broken at the end is whole again."""
    return before[:-1] + after if before.endswith("-") and after[:1].islower() else f"{before} {after}"
