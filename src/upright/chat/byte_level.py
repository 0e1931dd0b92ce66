"""The byte-level BPE alphabet (GPT-2's): each byte stands in the vocabulary as one printable character."""

from __future__ import annotations

from functools import cache


@cache
def letter_bytes() -> dict[str, int]:
    """Character of the vocabulary → byte. Printable Latin-1 stands for itself, the other bytes move up past 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if chr(byte) not in letters)
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}


def token_bytes(token: str) -> bytes:
    """The bytes a token of a byte-level vocabulary stands for; one with foreign characters stands for its own UTF-8."""
    letters = letter_bytes()
    try:
        return bytes([letters[letter] for letter in token])
    except KeyError:
        return token.encode()
