"""JSON as Python's own reader takes it, which lets more through than text can hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class HalfCharacter(ValueError):
    """An escape is half of a surrogate pair, which no tokenizer takes."""


def read_json_text(text: str, parse_int: Callable[[str], int | float] = int) -> Any:
    """Numbers of any length go through `parse_int`; NaN and Infinity are taken.

    Raises: HalfCharacter, another ValueError where it is no JSON, RecursionError where it is nested too deeply.
    """
    value = json.loads(text, parse_int=parse_int)
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise HalfCharacter(f"\\u{ord(error.object[error.start]):04x} is half of a character") from error
    return value
