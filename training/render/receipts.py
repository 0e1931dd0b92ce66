"""Receipts of shops and restaurants: one narrow column of rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from training.render import values
from training.render.drafts import Draft, Layout
from training.render.fields import Field
from training.render.looks import Look, look
from training.render.sales import Sale, sale
from training.render.sheets import Sheet, Type, bars, leading
from training.render.values import Manner
from training.world import FontKind, World


@dataclass(frozen=True)
class Row:
    """What stands at the left, in the middle and at the right of one line; nothing at all is a gap."""

    left: str = ""
    right: str = ""
    middle: str = ""
    grown: float = 1.0
    rule: bool = False

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.left, self.middle, self.right) if part)


@dataclass(frozen=True)
class Till:
    """How one till prints."""

    look: Look
    manner: Manner
    width: int
    loud: bool  # capitals for all labels
    colon: str
    served: bool

    def label(self, text: str) -> str:
        return (text.upper() if self.loud else text) + self.colon


def _till(rng: random.Random, world: World, font: FontKind, served: bool) -> Till:
    chosen = look(rng, world, font, 0)
    chosen = replace(chosen, pen=chosen.ink, accent=chosen.ink, x_height=rng.uniform(8, 10))
    if rng.random() < 0.5:
        chosen = replace(chosen, display=chosen.body)
    width = rng.randrange(330, 430)
    return Till(
        chosen, chosen.manner(rng), width, rng.random() < 0.4, ":" if rng.random() < 0.25 else "", served
    )  # fmt: skip


Rows = tuple[list[Row], list[Field]]


def _head(rng: random.Random, world: World, till: Till) -> Rows:
    shop = world.texts.company(rng)
    names = ("restaurant", "name of the restaurant") if till.served else ("shop", "name of the shop")
    rows = [Row(middle=shop.upper() if till.loud and rng.random() < 0.5 else shop, grown=rng.uniform(1.1, 1.5))]
    fields = [Field("shop", rows[0].middle, names)]
    if rng.random() < 0.75:
        lines = world.texts.address(rng)
        rows += [Row(middle=line) for line in lines]
        fields.append(Field("address", "\n".join(lines), ("address",)))
    if rng.random() < 0.6:
        number = values.phone(rng)
        label = rng.choice(("Tel.", "Phone:", "Tel:", "T", "Call", ""))
        rows.append(Row(middle=f"{label} {number}".strip()))
        fields.append(Field("phone", number, ("phone number", "telephone number")))
    if rng.random() < 0.25:
        number = values.patterned(rng, rng.choice(("@@ ### #### ##", "@@#########", "##-#######")))
        rows.append(Row(middle=f"{rng.choice(('VAT no.', 'VAT Reg', 'VAT ID'))} {number}"))
        fields.append(Field("vat_number", number, ("VAT number",)))
    return rows, fields


def _about(rng: random.Random, world: World, till: Till) -> Rows:
    """When, where and by whom: some of it, in any order."""
    date, hour = till.manner.date(values.day(rng)), till.manner.hour(rng.randrange(6 * 60, 24 * 60))
    number = (
        world.texts.code(rng)
        if rng.random() < 0.3
        else values.patterned(rng, rng.choice(("####", "######", "#-#####", "##/####")))
    )
    clerk = world.texts.person(rng) if rng.random() < 0.5 else values.first_name(rng, world)
    entries: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("receipt_number", rng.choice(("Receipt", "Receipt no.", "Receipt #", "Bon no.", "Check")), number,
         ("receipt number", "number of the receipt")),
        ("cashier", rng.choice(("Server", "Waiter", "Served by") if till.served else ("Cashier", "Clerk", "Served by")),
         clerk, ("server", "waiter") if till.served else ("cashier", "clerk")),
    ]  # fmt: skip
    if till.served:
        entries.append(
            (
                "table",
                rng.choice(("Table", "Table no.")),
                values.patterned(rng, rng.choice(("##", "#", "@#"))),
                ("table", "table number"),
            )
        )
        entries.append(("guests", rng.choice(("Guests", "Covers")), str(rng.randrange(1, 13)), ("number of guests",)))
    else:
        entries.append(
            (
                "till",
                rng.choice(("Till", "Register", "Terminal")),
                values.patterned(rng, rng.choice(("##", "###", "T##"))),
                ("till number", "register"),
            )
        )
        entries.append(
            ("store_number", rng.choice(("Store", "Branch")), values.patterned(rng, "#0##"), ("store number",))
        )
    entries = rng.sample(entries, rng.randrange(1, len(entries) + 1))
    rows, fields = [], []
    if rng.random() < 0.5:
        rows.append(Row(date, hour))
        fields += [Field("date", date, ("date",)), Field("time", hour, ("time",))]
    else:
        entries.append(("date", "Date", date, ("date",)))
        if rng.random() < 0.7:
            entries.append(("time", "Time", hour, ("time",)))
        rng.shuffle(entries)
    for kind, label, value, names in entries:
        rows.append(_labelled(till, label, value))
        fields.append(Field(kind, value, names, label))
    return rows, fields


def _labelled(till: Till, label: str, value: str) -> Row:
    """Close together in one half of the tills, far apart in the other."""
    return Row(f"{till.label(label)} {value}") if till.width % 2 else Row(till.label(label), value)


def _items(rng: random.Random, till: Till, sold: Sale) -> Rows:
    way = rng.choice(("times", "first", "under"))
    rows, fields = [], []
    for item in sold.items:
        name = item.name.upper() if till.loud else item.name
        amount = till.manner.item(item.amount)
        asked = Field("item_price", amount, (name,))
        if way == "under" and item.quantity > 1:
            asked = Field("item_amount", amount, (f"amount for {name}",))  # its price is that of one
            rows += [Row(name), Row(f"  {item.quantity} x {till.manner.item(item.unit)}", amount)]
        elif way == "first":
            rows.append(Row(f"{item.quantity} {name}", amount))
        else:
            rows.append(Row(name if item.quantity == 1 else f"{item.quantity}x {name}", amount))
        fields.append(asked)
        if item.quantity > 1 or way == "first":
            fields.append(Field("item_quantity", str(item.quantity), (f"quantity of {name}",)))
    return rows, fields


def _sums(rng: random.Random, till: Till, sold: Sale) -> Rows:
    money, tax = till.manner.money, rng.choice(("Tax", "Sales tax", "VAT", "GST", "VAT"))
    tax_names = {"VAT": ("VAT", "amount of VAT"), "GST": ("GST", "amount of GST")}.get(tax, ("tax", "amount of tax"))
    percent = f" {sold.percent}" if rng.random() < 0.6 else ""
    entries: list[tuple[str, str, int, tuple[str, ...]]] = []
    if not sold.included or sold.discount or sold.tip:
        entries.append(
            ("subtotal", rng.choice(("Subtotal", "Sub-total", "Sub total")), sold.subtotal, ("subtotal", "sub-total"))
        )
    if sold.discount:
        entries.append(("discount", rng.choice(("Discount", "Savings")), -sold.discount, ("discount",)))
    if not sold.included:
        entries.append(("tax", tax + percent, sold.tax, tax_names))
    if sold.tip:
        entries.append(("tip", rng.choice(("Tip", "Gratuity", "Service")), sold.tip, ("tip", "gratuity")))
    total = rng.choice(("Total", "Total", "Total", "Amount due", "Grand total", "To pay", "Balance due"))
    entries.append(("total", total, sold.total, ("total", "total amount", "amount to pay")))
    if sold.included:
        entries.append(("tax", f"Incl. {tax}{percent}", sold.tax, tax_names))
    rows, fields = [], []
    grown = rng.choice((1.0, 1.0, 1.25, 1.5))
    for kind, label, amount, names in entries:
        value = money(amount) if amount >= 0 else "-" + money(-amount)
        rows.append(Row(till.label(label), value, grown=grown if kind == "total" else 1.0))
        fields.append(Field(kind, value, names, label))
    return rows, fields


def _paid(rng: random.Random, till: Till, sold: Sale) -> Rows:
    money, way = till.manner.money, rng.random()
    if way < 0.35:  # with the next round sums of money above the total
        cash = -(-(sold.total + 1) // 500) * 500 + rng.choice((0, 0, 500, 1000, 5000))
        back = money(cash - sold.total)
        pairs = [
            ("cash", rng.choice(("Cash", "Cash given", "Tendered")), money(cash), ("cash", "cash given")),
            ("change", rng.choice(("Change", "Change due")), back, ("change", "change given")),
        ]
    elif way < 0.8:
        card = rng.choice(("**** ", "************", "XXXX ", "XXXXXXXXXXXX", "...")) + values.digits(rng, 4)
        brand = rng.choice(("VISA", "MASTERCARD", "AMEX", "Debit card", "Credit card", "Maestro", "Contactless"))
        code, codes = values.digits(rng, 6), ("approval code", "authorisation code")
        pairs = [
            ("method", rng.choice(("Paid by", "Payment", "Tender")), brand, ("payment method", "means of payment")),
            ("card", rng.choice(("Card", "Card no.", "Account")), card, ("card number", "number of the card")),
            ("approval", rng.choice(("Auth code", "Approval", "Auth")), code, codes),
        ]
        pairs = pairs[: rng.randrange(1, 4)]
    else:
        return [], []
    rows = [Row(till.label(label), value) for _, label, value, _ in pairs]
    return rows, [Field(kind, value, names, label) for kind, label, value, names in pairs]


_THANKS = ("Thank you!", "THANK YOU", "Please come again", "Thank you for your visit", "Have a nice day",
           "Keep this receipt for returns", "Goods can be returned within 30 days", "Customer copy")  # fmt: skip


def _compose(rng: random.Random, world: World, till: Till, order: str) -> Rows:
    """`order`: which parts come behind each other, h(ead), a(bout), i(tems) and sums, p(aid), t(hanks), a rule at -."""
    longest = round(till.width / till.look.small().width("n")) - 13
    sold = sale(rng, world, rng.randrange(1, 9), 0.4, 60, max(longest, 8), till.served)
    parts: dict[str, Callable[[], Rows]] = {
        "h": lambda: _head(rng, world, till),
        "a": lambda: _about(rng, world, till),
        "i": lambda: _items(rng, till, sold),
        "s": lambda: _sums(rng, till, sold),
        "p": lambda: _paid(rng, till, sold),
        "t": lambda: ([Row(middle=line) for line in rng.sample(_THANKS, rng.randrange(0, 3))], []),
        "-": lambda: ([Row(rule=True)], []),
        " ": lambda: ([Row()], []),
    }
    rows: list[Row] = []
    fields: list[Field] = []
    for part in order:
        more, found = parts[part]()
        rows += more
        fields += found
    return rows, fields


def _print(rng: random.Random, till: Till, rows: list[Row], centred: bool, layout: str, fields: list[Field]) -> Draft:
    sheet = Sheet(till.width, till.look.paper)
    margin, y = rng.randrange(12, 26), rng.randrange(12, 30)
    broken, thick, spread = rng.random() < 0.7, rng.choice((1, 1, 2)), rng.uniform(1.0, 1.25)
    right, lines = till.width - margin, []
    for row in rows:
        kind = till.look.heading(row.grown) if row.middle and row.grown > 1 else till.look.small()
        if row.grown > 1 and not row.middle:
            kind = Type(kind.face, round(kind.size * row.grown), kind.colour)
        kind = _shrunk(kind, row.middle, right - margin)
        if row.rule:
            sheet.rule(margin, y + 7, right, till.look.ink, thick, broken)
            y += 16
            continue
        if row.middle:
            sheet.text(till.width // 2 if centred else margin, y, row.middle, kind, "centre" if centred else "left")
        left = sheet.text(margin, y, row.left, kind) if row.left else 0
        if row.left and row.right and left + kind.width(row.right) + 12 > right - margin:
            y += round(leading(kind) * spread)  # what is at the right gets a line of its own
            lines += [row.left.strip(), row.right]
        elif row.text:
            lines.append(row.text.strip())
        if row.right:
            sheet.text(right, y, row.right, kind, "right")
        y += round(leading(kind) * (spread if row.text else 0.6))
    if rng.random() < 0.3:
        bars(sheet, rng, margin + 30, y + 8, right - 30, y + 8 + rng.randrange(30, 60), till.look.ink)
        y += 70
    sheet.height = y + rng.randrange(8, 30)
    return Draft("receipt", layout, sheet, tuple(fields), tuple(lines))


def _shrunk(kind: Type, text: str, width: int) -> Type:
    """A heading that fits."""
    while kind.size > 16 and kind.width(text) > width:
        kind = Type(kind.face, kind.size - 1, kind.colour)
    return kind


def _maker(layout: str, font: FontKind, served: bool, orders: tuple[str, ...], centred: bool) -> Layout:
    def make(rng: random.Random, world: World) -> Draft:
        till = _till(rng, world, font, served)
        rows, fields = _compose(rng, world, till, rng.choice(orders))
        return _print(rng, till, rows, centred, layout, fields)

    return make


_USUAL = ("ha-i-s-p t", "h a-is-p-t", "h-a-i s p t", "h-i-sp-a t", "ha-is-t", "h -a-i-s p-t")
TILL = _maker("till", "mono", False, _USUAL, True)
SHOP = _maker("shop", "body", False, _USUAL, True)
RESTAURANT = _maker("restaurant", "any", True, (*_USUAL, "h-a-i-s-p t"), True)


def mixed(rng: random.Random, world: World) -> Draft:
    """Parts in any order, but that what was bought comes before the sums, and something of weight behind the head."""
    served = rng.random() < 0.4
    till = _till(rng, world, rng.choice(("mono", "body", "any")), served)
    bought = f"i{rng.choice('- ')}s"
    parts = ["h", "a", bought, "p", "t"]
    rng.shuffle(parts)
    while parts.index("h") > max(parts.index("a"), parts.index(bought)):
        rng.shuffle(parts)
    order = "".join(part + rng.choice(("", " ", "-", "-")) for part in parts)
    rows, fields = _compose(rng, world, till, order)
    return _print(rng, till, rows, True, "mixed", fields)


# Held out: the head at the left, the sums before what was bought, the shop at the foot.
SUMS_FIRST = _maker("sums-first", "mono", False, ("a-s-p-i-h", "a s p-i- h", "-a-s-i-h t"), False)
CAFE = _maker("cafe", "body", True, ("a-i-s- h", "i-s-p-a-h", "a -i- sp-h"), False)
