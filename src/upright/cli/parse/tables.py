"""Tables as models say them, in OTSL (Lysak et al. 2023, https://arxiv.org/abs/2305.03393), to Markdown or HTML.

A model's answer may be cut off or wrong, so nothing is refused: rows that are too short end in empty cells, and what
claims to be part of a cell that is not there is an empty cell.
"""

from __future__ import annotations

import html
import re

_TAG = r"<(fcel|ecel|lcel|ucel|xcel|nl)>"
_TOKEN = re.compile(_TAG + "([^<]*)")

Grid = list[list[tuple[str, str]]]  # rows of kinds of cells, and what stands in them


def without_cells(text: str) -> str:
    """What is no table, where a model has put a cell into it: a space stands there."""
    return re.sub(rf"\s*{_TAG}\s*", " ", text).strip()


def grid_of(otsl: str) -> Grid:
    """Rows as they are said, however long."""
    grid: Grid = []
    ended = True
    for kind, text in _TOKEN.findall(otsl):
        if kind == "nl":
            if ended:
                grid.append([])
            ended = True
            continue
        if ended:
            grid.append([])
            ended = False
        grid[-1].append((kind, " ".join(text.split())))
    return grid


def table_text(otsl: str) -> str:
    """Markdown where each cell has one place, and else HTML; empty where there is no table."""
    grid = _filled(grid_of(otsl))
    if not grid:
        return ""
    merged = any(kind in ("lcel", "ucel", "xcel") for row in grid for kind, _ in row)
    return _html(grid) if merged else _markdown(grid)


def _filled(grid: Grid) -> Grid:
    width = max(map(len, grid), default=0)
    filled = [row + [("ecel", "")] * (width - len(row)) for row in grid] if width else []
    for y, row in enumerate(filled):
        for x, (kind, _) in enumerate(row):
            if (kind in ("lcel", "xcel") and x == 0) or (kind in ("ucel", "xcel") and y == 0):
                row[x] = "ecel", ""
    return filled


def _markdown(grid: Grid) -> str:
    rows = ["| " + " | ".join(text.replace("|", "\\|") for _, text in row) + " |" for row in grid]
    return "\n".join([rows[0], "|" + "---|" * len(grid[0]), *rows[1:]])


def _html(grid: Grid) -> str:
    lines = ["<table>"]
    for y, row in enumerate(grid):
        cells = []
        for x, (kind, text) in enumerate(row):
            if kind in ("fcel", "ecel"):
                across = _run([kind for kind, _ in row[x + 1 :]], "lcel")
                down = _run([below[x][0] for below in grid[y + 1 :]], "ucel")
                spans = (f' colspan="{across}"' if across > 1 else "") + (f' rowspan="{down}"' if down > 1 else "")
                cells.append(f"<td{spans}>{html.escape(text, quote=False)}</td>")
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _run(kinds: list[str], kind: str) -> int:
    """One, and as many more as follow of that kind."""
    return 1 + next((index for index, found in enumerate(kinds) if found != kind), len(kinds))
