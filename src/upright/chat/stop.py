"""Stop strings: found across token boundaries, with only that much text held back that may begin one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(eq=False)
class Node:
    """A state of the automaton: the longest end of the text so far that begins some stop string."""

    depth: int  # characters of that end
    following: dict[str, Node] = field(default_factory=dict)
    shorter: Node | None = None  # the next shorter end that begins one; None at the root
    match: str | None = None  # the longest stop string that ends here


def build_automaton(stops: tuple[str, ...]) -> Node:
    """Aho and Corasick's automaton (Communications of the ACM 18, 1975) for non-empty strings; returns its root."""
    root = Node(0)
    for stop in stops:
        node = root
        for character in stop:
            node = node.following.setdefault(character, Node(node.depth + 1))
        node.match = stop
    queue = deque([root])
    while queue:
        node = queue.popleft()
        for character, child in node.following.items():
            shorter = node.shorter
            while shorter is not None and character not in shorter.following:
                shorter = shorter.shorter
            child.shorter = root if shorter is None else shorter.following[character]
            child.match = child.match or child.shorter.match
            queue.append(child)
    return root


class StopScanner:
    """Follows the text of one sequence. The first stop string to be complete wins, the longest of several that are.

    The outcome depends on the text alone, never on how it was cut into pieces.
    """

    def __init__(self, automaton: Node, include_stop: bool) -> None:
        self._root = automaton
        self._node = automaton
        self._include_stop = include_stop
        self._held = ""  # the end of the text that may begin a stop string

    def push(self, text: str, armed: bool = True) -> tuple[str, str | None]:
        """The text that may go out, and the stop string that ended the sequence, if one did.

        Not `armed` (fewer than `min_tokens` are there), stop strings that end in this text are let through.
        """
        held = self._held + text
        node = self._node
        for place, character in enumerate(text, start=len(self._held) + 1):
            while character not in node.following and node.shorter is not None:
                node = node.shorter
            node = node.following.get(character, self._root)
            if armed and node.match is not None:
                return held[: place if self._include_stop else place - len(node.match)], node.match
        self._node = node
        self._held = held[len(held) - node.depth :]
        return held[: len(held) - node.depth], None

    def flush(self) -> str:
        """What was held back; call once, after the last text."""
        held, self._held = self._held, ""
        return held
