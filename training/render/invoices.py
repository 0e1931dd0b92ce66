"""Invoices: who to whom, when, for what, how much, and where to pay."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import timedelta

from training.render import values
from training.render.cells import cell_style, grid
from training.render.drafts import Draft
from training.render.fields import Field
from training.render.ledgers import ledger, print_sums, sums, table
from training.render.looks import Look, look
from training.render.sales import Sale, sale
from training.render.sheets import Bar, Sheet, Type, leading
from training.render.values import Manner
from training.world import World

TITLES = ("INVOICE", "Invoice", "TAX INVOICE", "Bill", "Sales invoice")


@dataclass(frozen=True)
class Letterhead:
    """Of who sends it, and to whom."""

    sender: Field
    sender_lines: tuple[str, ...]
    recipient: Field
    recipient_lines: tuple[str, ...]
    fields: tuple[Field, ...]


def letterhead(rng: random.Random, world: World, *more: str) -> Letterhead:
    """`more`: other names of the sender."""
    sender = Field("sender", world.texts.company(rng), ("sender", "name of the sender", *more))
    who = world.texts.company(rng) if rng.random() < 0.5 else world.texts.person(rng)
    recipient = Field("recipient", who, ("recipient", "name of the recipient", "addressee"))
    home, away = world.texts.address(rng), world.texts.address(rng)
    fields = [sender, recipient, Field("sender_address", "\n".join(home), ("address of the sender",)),
              Field("recipient_address", "\n".join(away), ("address of the recipient",))]  # fmt: skip
    lines = list(home)
    if rng.random() < 0.5:
        number = values.phone(rng)
        lines.append(f"{rng.choice(('Tel.', 'Phone', 'T:'))} {number}")
        fields.append(Field("phone", number, ("phone number", "telephone number")))
    if rng.random() < 0.4:
        mail = values.email(rng, world)
        lines.append(mail)
        fields.append(Field("email", mail, ("e-mail address", "email address")))
    return Letterhead(sender, tuple(lines), recipient, away, tuple(fields))


def _numbers(rng: random.Random, world: World, manner: Manner) -> list[Field]:
    day = values.day(rng, 2010)
    number = values.patterned(
        rng,
        rng.choice(("INV-#####", "#####", "######", "##-####", "@@####", "INV####", "#/####", "2###-###", "@-#####")),
    )
    label = rng.choice(("Invoice number", "Invoice no.", "Invoice #", "Invoice No", "Inv. no.", "Number"))
    due = day + timedelta(rng.choice((7, 10, 14, 21, 30, 45, 60, 90)))
    found = [Field("invoice_number", number, ("invoice number", "number of the invoice"), label),
             Field("date", manner.date(day), ("date", "invoice date", "date of the invoice"),
                   rng.choice(("Date", "Invoice date", "Date of invoice", "Issued")))]  # fmt: skip
    if rng.random() < 0.75:
        found.append(Field("due", manner.date(due), ("due date", "date by which to pay"),
                           rng.choice(("Due date", "Due", "Payment due", "Pay by"))))  # fmt: skip
    if rng.random() < 0.4:
        order = values.patterned(rng, rng.choice(("PO-####", "#######", "@@@-###", "45######")))
        found.append(
            Field(
                "order", order, ("order number",), rng.choice(("Order number", "Order no.", "PO number", "Your order"))
            )
        )
    if rng.random() < 0.3:
        customer = values.patterned(rng, rng.choice(("C#####", "K-####", "#####", "@@-###")))
        found.append(
            Field(
                "customer",
                customer,
                ("customer number",),
                rng.choice(("Customer no.", "Customer number", "Client no.")),
            )
        )
    return found


def _bank(rng: random.Random, world: World) -> list[Field]:
    if rng.random() < 0.3:
        return []
    found = [Field("iban", values.iban(rng), ("IBAN",), "IBAN")]
    if rng.random() < 0.5:
        bic = values.patterned(rng, rng.choice(("@@@@@@@@", "@@@@@@##", "@@@@@@@@###")))
        found.append(Field("bic", bic, ("BIC", "SWIFT code"), rng.choice(("BIC", "SWIFT"))))
    if rng.random() < 0.4:
        number = values.patterned(rng, rng.choice(("@@ ### #### ##", "@@#########", "##-#######")))
        found.append(Field("vat_number", number, ("VAT number",), rng.choice(("VAT no.", "VAT ID", "VAT reg. no."))))
    return found


@dataclass(frozen=True)
class Bill:
    look: Look
    manner: Manner
    head: Letterhead
    numbers: list[Field]
    sold: Sale
    bank: list[Field]


def bill_of(rng: random.Random, world: World, wide: int) -> Bill:
    chosen = look(rng, world, rng.choice(("body", "body", "any")), 0)
    chosen = replace(chosen, pen=chosen.ink, x_height=rng.uniform(8, 9.2))
    manner = chosen.manner(rng)
    longest = round(wide * 0.42 / chosen.small().width("n"))
    sold = sale(rng, world, rng.randrange(1, 6), 4, 900, max(longest, 8))
    head, numbers = letterhead(rng, world, "supplier"), _numbers(rng, world, manner)
    return Bill(chosen, manner, head, numbers, replace(sold, included=False), _bank(rng, world))


def _pairs(sheet: Sheet, fields: list[Field], label: Type, value: Type, x: int, y: int, right: int) -> int:
    """Labels at x, values flush right."""
    for field in fields:
        sheet.text(x, y, field.label, label)
        sheet.text(right, y, field.value, value, "right")
        y += leading(value)
    return y


def party(sheet: Sheet, bill: Bill, title: str, field: Field, lines: tuple[str, ...], x: int, y: int) -> int:
    small = bill.look.small()
    if title:
        sheet.text(x, y, title, bill.look.small(bill.look.accent))
        y += leading(small)
    return sheet.texts(x, y, [field.value, *lines], small)


def table_and_sums(
    rng: random.Random, sheet: Sheet, bill: Bill, x: int, y: int, right: int, boxed: bool = False
) -> tuple[int, list[Field]]:
    look, manner = bill.look, bill.manner
    y, fields = table(rng, sheet, look, manner, bill.sold, ledger(rng, boxed), x, y, right)
    below = sums(manner, rng, bill.sold)
    y = print_sums(rng, sheet, look, below, right - rng.randrange(270, 330), y + 10, right)
    return y, fields + below


def _foot(rng: random.Random, sheet: Sheet, bill: Bill, x: int, y: int) -> int:
    small, colon = bill.look.small(), rng.choice((":", "", ":"))
    for field in bill.bank:
        sheet.text(x, y, f"{field.label}{colon} {field.value}", small)
        y += leading(small)
    return y


def _done(sheet: Sheet, bill: Bill, layout: str, y: int, more: list[Field]) -> Draft:
    sheet.height = y + 16
    return Draft("invoice", layout, sheet, (*bill.head.fields, *bill.numbers, *more, *bill.bank))


def classic(rng: random.Random, world: World) -> Draft:
    """The sender at the left, the numbers at the right, the recipient below."""
    width = rng.randrange(640, 860)
    bill = bill_of(rng, world, width)
    look, head = bill.look, bill.head
    sheet = Sheet(width, look.paper)
    x, right, y = 28, width - 28, rng.randrange(16, 34)
    big = look.heading(rng.uniform(1.3, 2.0))
    if rng.random() < 0.5:
        sheet.text(right, y, rng.choice(TITLES), big, "right")
    else:
        sheet.text(x, y, rng.choice(TITLES), big)
        y += leading(big) + 6
    left_bottom = party(sheet, bill, rng.choice(("", "From", "Seller")), head.sender, head.sender_lines, x, y)
    label = look.small(rng.choice((look.ink, look.accent)))
    start = max(y, 24 + leading(big))
    right_bottom = _pairs(sheet, bill.numbers, label, look.small(), right - rng.randrange(260, 310), start, right)
    y = max(left_bottom, right_bottom) + 12
    y = (
        party(
            sheet,
            bill,
            rng.choice(("Bill to", "To", "Customer", "Billed to", "Sold to")),
            head.recipient,
            head.recipient_lines,
            x,
            y,
        )
        + 14
    )
    y, more = table_and_sums(rng, sheet, bill, x, y, right)
    return _done(sheet, bill, "classic", _foot(rng, sheet, bill, x, y + 14), more)


def banded(rng: random.Random, world: World) -> Draft:
    """A coloured band on top, the parties side by side, the numbers in a row of cells."""
    width = rng.randrange(680, 900)
    bill = bill_of(rng, world, width)
    look, head = bill.look, bill.head
    sheet = Sheet(width, look.paper)
    x, right = 26, width - 26
    big, name = look.heading(rng.uniform(1.4, 2.0), look.paper), look.heading(1.2, look.paper)
    high = leading(big) + rng.randrange(14, 34)
    sheet.marks.append(Bar(0, 0, width, high, look.accent))
    sheet.text(x, (high - big.height) // 2, rng.choice(TITLES), big)
    y = high + 16
    if rng.random() < 0.4 and name.width(head.sender.value) < width * 0.5:
        sheet.text(right, (high - name.height) // 2, head.sender.value, name, "right")
        left_bottom = sheet.texts(x, y, ["From:", *head.sender_lines], look.small())
    else:
        left_bottom = party(
            sheet, bill, rng.choice(("From", "Seller", "Issued by")), head.sender, head.sender_lines, x, y
        )
    right_bottom = party(
        sheet, bill, rng.choice(("Bill to", "To", "Customer")), head.recipient, head.recipient_lines, width // 2 + 10, y
    )
    style = cell_style(rng, look, rng.choice(("above", "inside")), rng.choice(("box", "none", "fill")))
    y, placed = grid(sheet, style, bill.numbers, x, max(left_bottom, right_bottom) + 14, right, len(bill.numbers), 12)
    bill = replace(bill, numbers=placed)
    y, more = table_and_sums(rng, sheet, bill, x, y + 14, right)
    return _done(sheet, bill, "banded", _foot(rng, sheet, bill, x, y + 12), more)


def plain(rng: random.Random, world: World) -> Draft:
    """Everything in one column, the sender in the middle on top."""
    width = rng.randrange(600, 760)
    bill = bill_of(rng, world, width)
    look, head = bill.look, bill.head
    sheet = Sheet(width, look.paper)
    x, right, y = 24, width - 24, 18
    big, small = look.heading(rng.uniform(1.2, 1.7)), look.small()
    sheet.text(width // 2, y, head.sender.value, big, "centre")
    y = sheet.texts(width // 2, y + leading(big), head.sender_lines, small, "centre") + 8
    sheet.rule(x, y, right, look.ink, rng.choice((1, 2)))
    y += 12
    title, colon = rng.choice(TITLES), rng.choice((":", ""))
    sheet.text(x, y, title, look.heading(1.4))
    y += leading(look.heading(1.4)) + 4
    for field in bill.numbers:
        sheet.text(x, y, f"{field.label}{colon} {field.value}", small)
        y += leading(small)
    y = (
        party(sheet, bill, rng.choice(("To:", "Bill to:", "Customer:")), head.recipient, head.recipient_lines, x, y + 8)
        + 12
    )
    y, more = table_and_sums(rng, sheet, bill, x, y, right)
    return _done(sheet, bill, "plain", _foot(rng, sheet, bill, x, y + 12), more)


def side(rng: random.Random, world: World) -> Draft:
    """Held out: the numbers and the bank in a coloured column at the left, a boxed table beside it."""
    width, column = rng.randrange(840, 960), rng.randrange(250, 280)
    bill = bill_of(rng, world, width - column)
    look, head = bill.look, bill.head
    sheet = Sheet(width, look.paper)
    start = len(sheet.marks)
    x, right, y = column + 22, width - 20, 20
    big = look.heading(rng.uniform(1.4, 1.8))
    sheet.text(x, y, rng.choice(TITLES), big)
    y = party(sheet, bill, "", head.sender, head.sender_lines, x, y + leading(big)) + 10
    y = party(sheet, bill, "Invoiced to", head.recipient, head.recipient_lines, x, y) + 14
    y, more = table_and_sums(rng, sheet, bill, x, y, right, boxed=True)
    light = replace(look, ink=look.paper, pen=look.paper, accent=look.paper)
    style = cell_style(rng, light, "above", "none")
    low, numbers = grid(sheet, style, bill.numbers, 16, 24, column - 12, 1, 14)
    low, bank = grid(sheet, style, bill.bank, 16, low + 20, column - 12, 1, 14)
    sheet.marks.insert(start, Bar(0, 0, column, max(y, low) + 20, look.accent))
    return _done(sheet, replace(bill, numbers=numbers, bank=bank), "side", max(y, low) + 4, more)


CLASSIC, BANDED, PLAIN, SIDE = classic, banded, plain, side
