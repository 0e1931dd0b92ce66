"""Who killed the engine? Requests that were aboard of deaths, tried apart until the guilty ones stand alone.

A search by halves, level by level: of a group that died, both halves wait at the end of the queue, so that one culprit
costs one death a level, and those who are innocent show it early. Three things are told apart by what it finds:

*One culprit.* It died alone, everybody else who was suspected proved himself, and every death is explained by it.
*Several culprits.* More than one died alone. Chance may have struck one of them, so each has to die alone twice.
*None.* Nobody who was tried ever lived: that speaks against the configuration. So nobody is found guilty until somebody
else has lived where he died.

All of it is pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

MANY_GROUPS = 4  # died, with no request in common and none alive: more than that many culprits at once are no culprits
LEAST_DEATHS = 3  # in a row, the last of them alone, until a request can be accused
MUCH_CHANCE = 3
LIVING_STEPS = 50  # of an engine without the accused, that were heard of: chance would have ended it sooner
ABSENT_SECONDS = 600.0  # that a suspect's content is remembered after its client has left


@dataclass(frozen=True)
class Suspect:
    """A request that was aboard when an engine died. Requests with equal content share their fate."""

    id: str
    content: bytes
    length: int = 0  # of its output


@dataclass(frozen=True)
class Accused:
    """A suspect that died alone. It waits until there is something to compare with."""

    suspect: Suspect
    incident: str  # of the last death alone
    alone: int = 1  # deaths alone
    steps: int = 0  # that were heard of before it died alone, at most


@dataclass(frozen=True)
class Absent:
    """What is remembered of a suspect whose client has left: the same content may come back under another id."""

    deaths: int
    until: float  # seconds, monotonic


@dataclass(frozen=True)
class Inquiry:
    chains: Mapping[str, int] = field(default_factory=dict)  # suspect → deaths in a row at the same point of its output
    lengths: Mapping[str, int] = field(default_factory=dict)  # suspect → that point
    trial: tuple[str, ...] = ()  # suspects that run alone now and have not proven themselves
    untried: tuple[tuple[str, ...], ...] = ()  # groups whose turn comes after it
    accused: tuple[Accused, ...] = ()
    felled: tuple[frozenset[str], ...] = ()  # the smallest groups that died; no request is in two of them
    compared: bool = False  # others have lived, for long enough, in the configuration in which the accused died
    chance: int = 0  # times that one who died alone got further after all
    escaped: bool = False  # a suspect left before it was tried, and may have been the one
    absent: Mapping[bytes, Absent] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return bool(self.trial or self.untried or self.accused)

    def nobody_lived(self, factor: int = 1) -> bool:
        """So many groups died, and nobody lived, that it cannot be the requests."""
        return len(self.felled) >= MANY_GROUPS * factor and not self.compared

    @property
    def anybody_dies(self) -> bool:
        """Those who died alone got further another time, again and again: it is not the requests that decide."""
        return self.chance >= MUCH_CHANCE

    @property
    def untold(self) -> bool:
        """Somebody is yet to be tried who has not died alone."""
        return bool(self.tried - {one.suspect.id for one in self.accused})

    @property
    def tried(self) -> set[str]:
        """All whose guilt is being looked into."""
        named = {name for group in (self.trial, *self.untried) for name in group}
        return named | {one.suspect.id for one in self.accused}

    @property
    def needed_steps(self) -> int:
        """That others have to live where the accused died, until there is a comparison."""
        return max([LIVING_STEPS, *(3 * one.steps for one in self.accused)])

    @property
    def contents(self) -> set[bytes]:
        """Of the accused."""
        return {one.suspect.content for one in self.accused}


def may_run(inquiry: Inquiry, request_id: str) -> bool:
    if inquiry.trial:
        return request_id in inquiry.trial
    return all(one.suspect.id != request_id for one in inquiry.accused)


# ---- deaths ----------------------------------------------------------------------------------------------------------


def suspect(inquiry: Inquiry, aboard: tuple[Suspect, ...], now: float) -> tuple[Inquiry, str]:
    """A death while everything ran: suspect who was aboard, and try those apart who were suspects already."""
    if not aboard:
        return inquiry, "no request was aboard"
    kept = {one.suspect.id for one in inquiry.accused}
    chains = {name: count for name, count in inquiry.chains.items() if name in kept}
    lengths = {name: length for name, length in inquiry.lengths.items() if name in kept}
    for one in aboard:
        known = _remembered(inquiry, one.content, now)
        before = inquiry.chains.get(one.id, 0) if inquiry.lengths.get(one.id) == one.length else 0
        chains[one.id] = max(before, known) + 1
        lengths[one.id] = one.length
    inquiry = replace(inquiry, chains=chains, lengths=lengths)
    if inquiry.accused:
        inquiry = _fell(inquiry, [one.id for one in aboard])
    again = [one.id for one in aboard if chains[one.id] > 1]
    if not again:
        return inquiry, f"what was aboard is replayed: {requests(len(aboard))}"
    if not inquiry.accused:
        inquiry = replace(inquiry, felled=(frozenset(again),))
    # Whoever was aboard of more deaths than the others is more likely the one: it is tried apart from them.
    most = [name for name in again if chains[name] == max(chains[name] for name in again)]
    rest = tuple(name for name in again if name not in most)
    inquiry = _next(replace(inquiry, untried=(*_halves(tuple(most)), *((rest,) if rest else ()))))
    return inquiry, (
        f"aboard of the death before as well: {requests(len(again))}; running apart now, to find out which one it is: "
        f"{requests(len(inquiry.trial))}"
    )


def narrow(inquiry: Inquiry, aboard: tuple[Suspect, ...], incident: str, steps: int) -> tuple[Inquiry, str]:
    """A death while a group of suspects ran alone: split those who were in the step, or accuse the only one."""
    by_id = {one.id: one for one in aboard}
    struck = tuple(name for name in inquiry.trial if name in by_id)
    bystanders = tuple(name for name in inquiry.trial if name not in by_id)
    further = [name for name in struck if inquiry.lengths.get(name) != by_id[name].length]
    chains = dict(inquiry.chains)
    for name in struck:
        chains[name] = 1 if name in further else chains.get(name, 0) + 1
    lengths = dict(inquiry.lengths) | {name: by_id[name].length for name in struck}
    inquiry = _fell(replace(inquiry, chains=chains, lengths=lengths), struck)
    others = (*((bystanders,) if bystanders else ()), *inquiry.untried)
    if len(struck) > 1:
        inquiry = _next(replace(inquiry, untried=(*others, *_halves(struck))))
        why = f"it is one of {requests(len(struck))}; running apart now: {requests(len(inquiry.trial))}"
        return inquiry, why
    (name,) = struck
    if further:
        inquiry = replace(inquiry, chance=inquiry.chance + 1)
    if len(by_id) > 1 or chains[name] < LEAST_DEATHS:
        return replace(inquiry, trial=struck, untried=others), f"request {name} runs alone once more, to be sure"
    before = [one for one in inquiry.accused if one.suspect.id == name]
    rest = tuple(one for one in inquiry.accused if one.suspect.id != name)
    alone, most = 1 + sum(one.alone for one in before), max([steps, *(one.steps for one in before)])
    inquiry = _next(replace(inquiry, accused=(*rest, Accused(by_id[name], incident, alone, most)), untried=others))
    return inquiry, f"request {name} was aboard of {chains[name]} deaths in a row, of the last one alone"


def settle(inquiry: Inquiry, known_good: bool) -> tuple[Inquiry, tuple[Accused, ...]]:
    """If everybody has been tried: who is guilty? `known_good`: the configuration has served long before.

    Those accused who may be innocent yet are tried again. Where nothing lived, everybody else runs first: the accused
    stay where they are, and nobody is convicted.
    """
    if inquiry.trial or inquiry.untried:
        return inquiry, ()
    if not inquiry.accused:
        return replace(inquiry, felled=(), compared=False, chance=0, escaped=False), ()
    if not inquiry.compared and not known_good:
        return inquiry, ()
    inquiry, guilty = verdict(inquiry)
    return (inquiry, guilty) if inquiry.open else (settle(inquiry, known_good)[0], guilty)


def verdict(inquiry: Inquiry) -> tuple[Inquiry, tuple[Accused, ...]]:
    """The guilty leave, with the deaths that they explain; the other accused are tried again."""
    guilty = sure(inquiry)
    names = {one.suspect.id for one in guilty}
    inquiry = replace(_without(inquiry, names), felled=tuple(one for one in inquiry.felled if not one & names))
    return retry(inquiry), guilty


def sure(inquiry: Inquiry) -> tuple[Accused, ...]:
    """Those accused whose guilt is beyond chance, provided that something else lived."""
    if len(inquiry.contents) == 1 and not inquiry.escaped and not inquiry.chance:
        names = {one.suspect.id for one in inquiry.accused}
        if all(group <= names for group in inquiry.felled):
            return inquiry.accused
    deaths = dict.fromkeys(inquiry.contents, 0)
    for one in inquiry.accused:
        deaths[one.suspect.content] += one.alone
    return tuple(one for one in inquiry.accused if deaths[one.suspect.content] > 1 + inquiry.chance)


def retry(inquiry: Inquiry) -> Inquiry:
    """Try each of the accused alone again."""
    return _next(replace(inquiry, untried=(*inquiry.untried, *((one.suspect.id,) for one in inquiry.accused))))


def forget(inquiry: Inquiry) -> Inquiry:
    """The configuration was at fault: everybody is free."""
    return Inquiry(absent=inquiry.absent)


# ---- the time between deaths -----------------------------------------------------------------------------------------


def proven(inquiry: Inquiry, request_id: str) -> Inquiry:
    """The request has lived on past the point of death, or has ended: nothing speaks against it any more."""
    if any(one.suspect.id == request_id for one in inquiry.accused):
        inquiry = replace(inquiry, chance=inquiry.chance + 1)
    return drop(inquiry, request_id)


def departed(inquiry: Inquiry, gone: Suspect, now: float) -> Inquiry:
    """The request has left, and whether it was the one is not known: its content is remembered for a while."""
    deaths = inquiry.chains.get(gone.id)
    if deaths is None:
        return inquiry
    felled = tuple(group for group in inquiry.felled if group != {gone.id})  # what it explains, if it does, is gone too
    absent = _absent(inquiry, gone.content, deaths, now)
    inquiry = replace(inquiry, absent=absent, felled=felled, escaped=inquiry.open)
    return drop(inquiry, gone.id)


def remember(inquiry: Inquiry, left: tuple[Suspect, ...], now: float) -> Inquiry:
    """These were aboard of a death, but their clients have gone: one more death for their contents."""
    for one in left:
        deaths = _remembered(inquiry, one.content, now) + 1
        inquiry = replace(inquiry, absent=_absent(inquiry, one.content, deaths, now))
    return inquiry


def _remembered(inquiry: Inquiry, content: bytes, now: float) -> int:
    """Deaths that are still held against a content whose client has left."""
    known = inquiry.absent.get(content)
    return known.deaths if known is not None and known.until > now else 0


def _absent(inquiry: Inquiry, content: bytes, deaths: int, now: float) -> Mapping[bytes, Absent]:
    kept = {key: known for key, known in inquiry.absent.items() if known.until > now}
    return kept | {content: Absent(deaths, now + ABSENT_SECONDS)}


def drop(inquiry: Inquiry, name: str) -> Inquiry:
    """The request is no part of the inquiry any more."""
    inquiry = _without(inquiry, {name})
    groups = [tuple(one for one in group if one != name) for group in inquiry.untried]
    inquiry = replace(
        inquiry,
        trial=tuple(one for one in inquiry.trial if one != name),
        untried=tuple(group for group in groups if group),
    )
    return inquiry if inquiry.trial else _next(inquiry)


def _without(inquiry: Inquiry, names: set[str]) -> Inquiry:
    """Nothing is held against these any more."""
    return replace(
        inquiry,
        chains={one: count for one, count in inquiry.chains.items() if one not in names},
        lengths={one: length for one, length in inquiry.lengths.items() if one not in names},
        accused=tuple(one for one in inquiry.accused if one.suspect.id not in names),
    )


def _next(inquiry: Inquiry) -> Inquiry:
    """The turn of the next group, if there is one."""
    if not inquiry.untried:
        return replace(inquiry, trial=())
    return replace(inquiry, trial=inquiry.untried[0], untried=inquiry.untried[1:])


def _fell(inquiry: Inquiry, struck: tuple[str, ...] | list[str]) -> Inquiry:
    """A smaller group that died stands for the larger one that it is from."""
    group = frozenset(struck)
    return replace(inquiry, felled=(*(one for one in inquiry.felled if not group & one), group))


def _halves(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    middle = (len(names) + 1) // 2
    return tuple(half for half in (names[:middle], names[middle:]) if half)


def requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"
