"""A table of things and what they cost, with its sums: the middle of an invoice."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from training.render.fields import Field
from training.render.looks import Look
from training.render.sales import Item, Sale
from training.render.sheets import Bar, Frame, Sheet, leading
from training.render.values import Manner

Band = Literal["filled", "ruled", "plain"]


@dataclass(frozen=True)
class Ledger:
    """How a table looks: the heading's band, stripes behind every other row, lines between rows or columns."""

    band: Band
    striped: bool
    ruled: bool
    boxed: bool
    quantity_first: bool
    unit: bool  # whether there is a column of prices of one


def ledger(rng: random.Random, boxed: bool = False) -> Ledger:
    return Ledger(
        rng.choice(("filled", "ruled", "plain")), rng.random() < 0.3, rng.random() < 0.4, boxed, rng.random() < 0.4,
        rng.random() < 0.7,
    )  # fmt: skip


_DESCRIPTION = ("Description", "Item", "Article", "Service")
_QUANTITY = ("Qty", "Quantity", "Pcs", "No.")
_UNIT = ("Unit price", "Price", "Rate", "Each")
_AMOUNT = ("Amount", "Total", "Line total", "Sum")


def table(
    rng: random.Random, sheet: Sheet, look: Look, manner: Manner, sold: Sale, form: Ledger, x: int, y: int, right: int
) -> tuple[int, list[Field]]:
    """Gives its bottom, and what can be asked about each thing."""
    text, bold = look.small(), look.small(look.paper if form.band == "filled" else look.ink)
    what = "description"
    columns = ["quantity", what] if form.quantity_first else [what, "quantity"]
    columns += ["unit"] * form.unit + ["amount"]
    heads = {what: rng.choice(_DESCRIPTION), "quantity": rng.choice(_QUANTITY), "unit": rng.choice(_UNIT),
             "amount": rng.choice(_AMOUNT)}  # fmt: skip
    cells = [_row(manner, item) for item in sold.items]
    pad = 8
    widths = {
        column: max(text.width(row[column]) for row in [heads, *cells]) + 2 * pad
        for column in columns
        if column != what
    }
    widths[what] = right - x - sum(widths.values())
    edges = [x]
    for column in columns:
        edges.append(edges[-1] + widths[column])
    step = leading(text) + rng.randrange(4, 12)
    top = y
    for index, row in enumerate([heads, *cells]):
        if index == 0 and form.band == "filled":
            sheet.marks.append(Bar(x, y, right, y + step, look.accent))
        elif index and form.striped and index % 2 == 0:
            sheet.marks.append(Bar(x, y, right, y + step, look.pale))
        for column, left, end in zip(columns, edges, edges[1:], strict=False):
            kind = bold if index == 0 else text
            at = y + (step - kind.height) // 2
            if column == what or (column == "quantity" and form.quantity_first):
                sheet.text(left + pad, at, row[column], kind)
            else:
                sheet.text(end - pad, at, row[column], kind, "right")
        y += step
        if (index == 0 and form.band == "ruled") or (index and form.ruled):
            sheet.rule(x, y, right, look.faint)
    if form.boxed:
        for left, end in pairwise(edges):
            sheet.marks.append(Frame(left, top, end, y, look.faint))
        sheet.rule(x, top + step, right, look.faint)
    else:
        sheet.rule(x, y, right, look.faint)
    return y, [field for item in sold.items for field in _asked(manner, item, form)]


def _row(manner: Manner, item: Item) -> dict[str, str]:
    return {"description": item.name, "quantity": str(item.quantity), "unit": manner.item(item.unit),
            "amount": manner.item(item.amount)}  # fmt: skip


def _asked(manner: Manner, item: Item, form: Ledger) -> list[Field]:
    name = item.name
    fields = [
        Field("item_quantity", str(item.quantity), (f"quantity of {name}",)),
        Field("item_amount", manner.item(item.amount), (f"amount for {name}", f"line total of {name}")),
    ]
    if form.unit:
        fields.append(Field("item_unit", manner.item(item.unit), (f"unit price of {name}", f"price of one {name}")))
    return fields


def sums(manner: Manner, rng: random.Random, sold: Sale) -> list[Field]:
    """The lines below the table, top to bottom."""
    tax = rng.choice(("VAT", "VAT", "Tax", "Sales tax", "GST"))
    names = {"VAT": ("VAT", "amount of VAT"), "GST": ("GST", "amount of GST")}.get(tax, ("tax", "amount of tax"))
    label = f"{tax} {sold.percent}" if rng.random() < 0.6 else f"{tax} ({sold.percent})" if rng.random() < 0.5 else tax
    found = [
        Field(
            "subtotal",
            manner.money(sold.subtotal),
            ("subtotal", "net amount"),
            rng.choice(("Subtotal", "Net amount", "Net total")),
        )
    ]
    if sold.discount:
        found.append(Field("discount", "-" + manner.money(sold.discount), ("discount",), "Discount"))
    found.append(Field("tax", manner.money(sold.tax), names, label))
    total = rng.choice(("Total", "Total due", "Amount due", "Grand total", "Balance due", "Total amount", "TOTAL"))
    found.append(Field("total", manner.money(sold.total), ("total", "total amount", "amount to pay"), total))
    return found


def print_sums(
    rng: random.Random, sheet: Sheet, look: Look, fields: list[Field], x: int, y: int, right: int
) -> int:  # fmt: skip
    """Labels from x on, amounts flush right. Gives the bottom."""
    text = look.small()
    big = look.heading(rng.choice((1.0, 1.2, 1.4)), look.ink)
    way = rng.choice(("bar", "rule", "plain"))
    x = min(x, right - 40 - max(big.width(field.label) + big.width(field.value) for field in fields))
    for field in fields:
        last = field.kind == "total"
        kind = big if last else text
        step = leading(kind) + 6
        if last and way == "bar":
            kind = big if rng.random() < 0.5 else look.heading(1.1, look.paper)
            fill = look.accent if kind.colour == look.paper else look.pale
            sheet.marks.append(Bar(x - 8, y, right, y + step, fill))
        elif last and way == "rule":
            sheet.rule(x - 8, y, right, look.ink, 2)
        sheet.text(x, y + 3, field.label, kind)
        sheet.text(right - 8, y + 3, field.value, kind, "right")
        y += step
    return y
