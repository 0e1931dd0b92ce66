"""Boarding passes, coupons and tickets for the train or an evening."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from training.render.cells import Place, cell_style, grid
from training.render.drafts import Draft, Layout
from training.render.fields import Field
from training.render.kinds import fill
from training.render.looks import Look, blend, look
from training.render.sheets import Bar, Frame, Sheet, bars, leading, squares
from training.world import World


@dataclass(frozen=True)
class Trip:
    """What a kind of ticket is called, and what it says: `always`, and some of `maybe`."""

    kind: str
    titles: tuple[str, ...]
    always: tuple[str, ...]
    maybe: tuple[str, ...]


_FLIGHT = Trip("boarding pass", ("BOARDING PASS", "Boarding Pass", "Boarding card"),
               ("passenger", "flight", "origin", "destination", "seat"),
               ("gate", "boarding", "departure", "arrival", "class", "group", "date", "booking", "ticket"))  # fmt: skip
_TRAIN = Trip("ticket", ("Train ticket", "TICKET", "Rail ticket", "Single journey", "Coach ticket"),
              ("origin", "destination", "date"),
              ("departure", "arrival", "train", "coach", "seat", "platform", "class", "price", "passenger", "booking",
               "ticket"))  # fmt: skip
_SHOW = Trip("ticket", ("Admit one", "TICKET", "Entrance ticket", "Concert", "Theatre ticket"),
             ("date", "venue", "seat"),
             ("row", "block", "doors", "time", "price", "ticket", "name", "gate"))  # fmt: skip


def _fields(rng: random.Random, world: World, look: Look, trip: Trip) -> list[Field]:
    kinds = [*trip.always, *rng.sample(trip.maybe, rng.randrange(2, min(7, len(trip.maybe) + 1)))]
    if rng.random() < 0.5:
        rng.shuffle(kinds)
    return fill(rng, world, look.manner(rng), kinds)


def _look(rng: random.Random, world: World) -> Look:
    chosen = look(rng, world, "body", 0.5)
    if rng.random() < 0.5:
        chosen = replace(chosen, paper=blend((255, 255, 255), chosen.accent, rng.uniform(0.04, 0.14)))
    return chosen


def _wide(layout: str, trips: tuple[Trip, ...], places: tuple[Place, ...]) -> Layout:
    """Lying, with a band on top or none, and a stub at the right that has a code on it or nothing."""

    def make(rng: random.Random, world: World) -> Draft:
        chosen, trip = _look(rng, world), rng.choice(trips)
        width = rng.randrange(560, 860)
        sheet = Sheet(width, chosen.paper)
        title = rng.choice(trip.titles)
        right = width - 24
        stub = rng.random() < 0.5
        if stub:
            right -= rng.randrange(110, 160)
        y = 16
        if rng.random() < 0.6:
            big = chosen.heading(rng.uniform(1.2, 1.7), chosen.paper)
            sheet.marks.append(Bar(0, 0, width, leading(big) + 18, chosen.accent))
            sheet.text(24, 9, title, big)
            y = leading(big) + 34
        else:
            big = chosen.heading(rng.uniform(1.2, 1.7))
            sheet.text(24, y, title, big)
            y += leading(big) + 8
        shown: list[Field] = []
        if trip is _SHOW and rng.random() < 0.7:
            shown, y = _named(rng, world, sheet, chosen, y, right)
        top = y
        style = cell_style(rng, chosen, rng.choice(places), rng.choice(("none", "none", "box", "fill", "line")))
        y, placed = grid(sheet, style, _fields(rng, world, chosen, trip), 24, y, right, rng.choice((2, 3, 3, 4)), 22)
        if stub:
            side = min(width - right - 44, y - top)
            sheet.marks.append(Frame(right + 12, top - 4, right + 13, y, chosen.faint))
            squares(sheet, rng, right + 30, top + 4, side, chosen.ink)
        elif rng.random() < 0.4:
            bars(sheet, rng, 24, y + 6, 24 + rng.randrange(180, 400), y + 50, chosen.ink)
            y += 54
        sheet.height = y + 14
        return Draft(trip.kind, layout, sheet, (*shown, *placed))

    return make


def _named(rng: random.Random, world: World, sheet: Sheet, chosen: Look, y: int, right: int) -> tuple[list[Field], int]:
    """What is on, at the left without a label, if it is not too wide; and the bottom."""
    title, style = world.texts.title(rng), chosen.heading(rng.uniform(0.9, 1.3))
    if not style.shows(title) or style.width(title) > right - 24:
        return [], y
    sheet.text(24, y, title, style)
    return [Field("event", title, ("event", "name of the event"))], y + leading(style) + 8


def event(rng: random.Random, world: World) -> Draft:
    """Held out: standing, everything in the middle, label above value."""
    chosen = _look(rng, world)
    width = rng.randrange(360, 460)
    sheet = Sheet(width, chosen.paper)
    big = chosen.heading(rng.uniform(1.3, 1.7))
    title = world.texts.title(rng)
    while big.width(title) > width - 60 and " " in title:
        title = title.rsplit(" ", 1)[0]
    y = 26
    small, value = chosen.small(chosen.accent), chosen.value(1.2)
    sheet.text(width // 2, y, title, big, "centre")
    y += leading(big) + 10
    show = Field("event", title, ("event", "name of the event"))
    fields = [show, *fill(rng, world, chosen.manner(rng), ["date", "venue", "seat", *rng.sample(_SHOW.maybe, 3)])]
    for field in fields[1:]:
        sheet.text(width // 2, y, field.label, small, "centre")
        sheet.text(width // 2, y + leading(small), field.value, value, "centre")
        y += leading(small) + leading(value) + 8
    bars(sheet, rng, 60, y + 6, width - 60, y + 56, chosen.ink)
    sheet.height = y + 80
    sheet.marks.insert(0, Frame(8, 8, width - 9, sheet.height - 9, chosen.accent, 2, 12))
    return Draft("ticket", "event", sheet, tuple(fields))


PASS = _wide("pass", (_FLIGHT,), ("above", "above", "inside"))
COUPON = _wide("coupon", (_TRAIN, _SHOW), ("above", "left", "inside"))
EVENT = event
