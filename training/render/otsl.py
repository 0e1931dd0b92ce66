"""Tables as OTSL (Lysak et al. 2023): one token for each place of the grid, row by row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """From (row, column) over so many rows and columns."""

    row: int
    column: int
    text: str
    rows: int = 1
    columns: int = 1


@dataclass(frozen=True)
class Table:
    """Cells that fill a grid, none over another. Raises: ValueError where they do not."""

    rows: int
    columns: int
    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        taken: set[tuple[int, int]] = set()
        for cell in self.cells:
            for row in range(cell.row, cell.row + cell.rows):
                for column in range(cell.column, cell.column + cell.columns):
                    if (row, column) in taken or row >= self.rows or column >= self.columns:
                        raise ValueError(f"the cell at {cell.row}, {cell.column} is over another or leaves the grid")
                    taken.add((row, column))
        if len(taken) != self.rows * self.columns:
            raise ValueError("some places of the grid have no cell")


def render(table: Table) -> str:
    """Raises: ValueError where a cell holds what would be read as a token, or a line's end."""
    for cell in table.cells:
        if "<" in cell.text or "\n" in cell.text:
            raise ValueError(f"{cell.text!r} cannot be said in OTSL")
    tokens = [["<ecel>"] * table.columns for _ in range(table.rows)]
    for cell in table.cells:
        for row in range(cell.rows):
            for column in range(cell.columns):
                token = ("<fcel>" + cell.text if cell.text else "<ecel>") if not row and not column else (
                    "<xcel>" if row and column else "<ucel>" if row else "<lcel>"
                )  # fmt: skip
                tokens[cell.row + row][cell.column + column] = token
    return "".join("".join(row) + "<nl>" for row in tokens)


_TOKEN = re.compile(r"<(fcel|ecel|lcel|ucel|xcel|nl)>([^<]*)")


def parse(otsl: str) -> Table:
    """Raises: ValueError."""
    grid: list[list[tuple[str, str]]] = [[]]
    end = 0
    for match in _TOKEN.finditer(otsl):
        if match.start() != end:
            raise ValueError(f"{otsl[end : match.start()]!r} is not a cell")
        end = match.end()
        if match[1] == "nl":
            grid.append([])
        else:
            grid[-1].append((match[1], match[2]))
    if end != len(otsl) or grid.pop() or not grid:
        raise ValueError("a table ends with <nl>")
    if len({len(row) for row in grid}) != 1:
        raise ValueError("rows are of different lengths")
    return Table(len(grid), len(grid[0]), tuple(_cells(grid)))


def _cells(grid: Sequence[Sequence[tuple[str, str]]]) -> list[Cell]:
    cells = []
    for row, places in enumerate(grid):
        for column, (kind, text) in enumerate(places):
            if kind in ("fcel", "ecel"):
                columns = _run([place[0] for place in places[column + 1 :]], "lcel")
                rows = _run([below[column][0] for below in grid[row + 1 :]], "ucel")
                cells.append(Cell(row, column, text, rows, columns))
    return cells


def _run(kinds: Sequence[str], kind: str) -> int:
    """One, and as many more as follow of that kind."""
    return 1 + next((index for index, found in enumerate(kinds) if found != kind), len(kinds))
