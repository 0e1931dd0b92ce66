"""Batches come in their order, whole, and a failure is told."""

from __future__ import annotations

import numpy as np
import pytest

from training.batches import Arrays
from training.feeder import Feeder


def numbered(index: int) -> Arrays:
    return {"index": np.array(index), "values": np.full((index % 5, 7), index, dtype=np.int32)}


def test_batches_come_in_order_whoever_makes_them() -> None:
    feeder = Feeder(numbered, 3, 4096, first=4)
    try:
        for expected in range(4, 40):
            arrays = feeder.take(lambda arrays: {name: array.copy() for name, array in arrays.items()})
            assert int(arrays["index"]) == expected
            assert arrays["values"].shape == (expected % 5, 7) and (arrays["values"] == expected).all()
    finally:
        feeder.close()


def broken(index: int) -> Arrays:
    if index == 3:
        raise ValueError("this page cannot be drawn")
    return numbered(index)


def test_what_goes_wrong_is_told() -> None:
    feeder = Feeder(broken, 2, 4096)
    try:
        for _ in range(3):
            feeder.take(lambda arrays: None)
        with pytest.raises(RuntimeError, match="cannot be drawn"):
            feeder.take(lambda arrays: None)
    finally:
        feeder.close()


def test_a_batch_that_is_too_large_is_told() -> None:
    feeder = Feeder(numbered, 1, 64)
    try:
        with pytest.raises(RuntimeError, match="64 bytes"):
            for _ in range(3):
                feeder.take(lambda arrays: None)
    finally:
        feeder.close()
