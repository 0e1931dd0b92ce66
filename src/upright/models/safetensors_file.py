"""Whether a safetensors file is whole, as far as its header and its size tell. Imports no torch, reads no tensor."""

from __future__ import annotations

import json
from pathlib import Path

POINTER = b"version https://git-lfs"  # what git keeps in the place of a large file
LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_LENGTH = 8  # bytes at the start of a file: the header's length


def fault_of(path: Path) -> str | None:
    """What is wrong with the file and what to do about it, to follow its name in a sentence; None for a whole file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(max(len(POINTER), _LENGTH))
            if start.startswith(POINTER):
                return "is a pointer of git-lfs, not the weights; run `git lfs pull` in the model's directory"
            if size < _LENGTH:
                return f"is cut off: it has {size} bytes; download it again"
            length = int.from_bytes(start[:_LENGTH], "little")
            if length > LONGEST_HEADER:
                return f"is no safetensors file: it begins with {start[:_LENGTH]!r}; download it again"
            if _LENGTH + length > size:
                return (
                    f"is cut off: it has {size:,} bytes, and its header alone {_LENGTH + length:,}; download it again"
                )
            file.seek(_LENGTH)
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = _LENGTH + length + max(ends, default=0)
    except OSError as error:
        return f"cannot be read: {error}"
    except (ValueError, RecursionError, TypeError, KeyError, IndexError, AttributeError) as error:
        return f"has a header that cannot be read ({error!r}); download it again"
    if size < expected:
        return f"is cut off: it has {size:,} bytes of {expected:,}; download it again"
    if size > expected:
        return f"has {size:,} bytes, and its header tells of {expected:,}; download it again"
    return None
