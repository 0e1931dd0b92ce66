"""Stop strings against a plain search over the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upright.chat.stop import StopScanner, build_automaton

Texts = st.lists(st.text(alphabet="abc", max_size=4), max_size=12)
Stops = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=4)


def by_search(text: str, stops: list[str]) -> tuple[int, str] | None:
    """Where the first stop string is complete, and the longest one that is complete there."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return end, max(ending, key=len)
    return None


@given(pieces=Texts, stops=Stops, include=st.booleans())
def test_the_cut_is_where_a_search_finds_it(pieces: list[str], stops: list[str], include: bool) -> None:
    scanner = StopScanner(build_automaton(tuple(stops)), include)
    out, found = "", None
    for piece in pieces:
        text, found = scanner.push(piece)
        out += text
        if found is not None:
            break
    else:
        out += scanner.flush()
    whole = "".join(pieces)
    expected = by_search(whole, stops)
    if expected is None:
        assert (out, found) == (whole, None)
    else:
        end, stop = expected
        assert (out, found) == (whole[: end if include else end - len(stop)], stop)


@given(pieces=Texts, stops=Stops)
def test_only_what_may_begin_a_stop_string_is_held(pieces: list[str], stops: list[str]) -> None:
    scanner = StopScanner(build_automaton(tuple(stops)), False)
    out, seen = "", ""
    for piece in pieces:
        text, found = scanner.push(piece)
        if found is not None:
            return
        out, seen = out + text, seen + piece
        held = seen[len(out) :]
        begins = [
            size for size in range(len(seen) + 1) if any(stop.startswith(seen[len(seen) - size :]) for stop in stops)
        ]
        assert len(held) == max(begins)


def test_unarmed_stop_strings_pass_and_may_end_later() -> None:
    scanner = StopScanner(build_automaton(("ab",)), False)
    assert scanner.push("xab", armed=False) == ("x", None)
    assert scanner.push("ca") == ("abc", None)
    assert scanner.push("b") == ("", "ab")


def test_sixty_four_long_stop_strings() -> None:
    automaton = build_automaton(tuple("a" * 1000 + chr(0x4E00 + place) for place in range(64)))
    scanner = StopScanner(automaton, False)
    for _ in range(2000):
        assert scanner.push("a")[1] is None
    assert scanner.push("\u4e02") == ("", "a" * 1000 + "\u4e02")
