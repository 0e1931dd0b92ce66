"""What was measured of a GPU is there for the next start, and for no other configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from upright.engine.footprint import Footprint
from upright.engine.kept import JITTER_BYTES, KEPT_ENTRIES, KeptMeasurements, fingerprint
from upright.kernels.attention.dispatch import Race
from upright.kernels.linear import ProductTimes
from upright.messages import EngineOptions
from upright.models.model import Measured

GIB = 2**30
FOUND = Footprint(free=70 * GIB, consumed=2 * GIB, transient=GIB, graphs=5)
MEASURED = Measured(
    Race({"triton": 1 / 3, "flash": 0.1}, {"portable": "no"}), [ProductTimes(3, 4, 8, 2.5, {"a": 0.7, "b": 3.0})]
)


def options(**more: Any) -> EngineOptions:
    settings: dict[str, Any] = {"max_num_seqs": 5, "threads": 0} | more
    return EngineOptions(
        model_path="m", device="cuda", dtype="float16", load_format="dummy", kv_cache_bytes=None, block_size=16,
        seed=0, max_model_len=300, max_num_batched_tokens=64, max_pixels=None, **settings,
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "memory.json"


def test_the_next_start_has_all_of_it(file: Path) -> None:
    kept = KeptMeasurements(file, "a")
    assert kept.measured == Measured() and kept.footprint(100 * GIB) is None
    kept.keep_measured(MEASURED)
    assert KeptMeasurements(file, "a").measured == MEASURED, "even if the engine dies before its memory is measured"
    kept.keep_footprint(FOUND)
    again = KeptMeasurements(file, "a")
    assert again.measured == MEASURED
    assert again.footprint(70 * GIB) == again.footprint(70 * GIB - JITTER_BYTES) == FOUND
    written = file.read_bytes()
    again.keep_measured(MEASURED)
    assert again.footprint(70 * GIB) == FOUND and file.read_bytes() == written
    other = KeptMeasurements(file, "b")
    assert other.measured == Measured() and other.footprint(70 * GIB) is None


def test_with_less_memory_than_then_a_footprint_says_nothing(file: Path) -> None:
    kept = KeptMeasurements(file, "a")
    assert kept.enough(0)
    kept.keep_measured(MEASURED)
    kept.keep_footprint(FOUND)
    assert kept.footprint(70 * GIB - JITTER_BYTES - 1) is None, "somebody else is here now"
    assert not kept.enough(70 * GIB - JITTER_BYTES - 1)
    assert kept.measured == MEASURED


def test_a_footprint_belongs_to_the_kernels_it_was_measured_with(file: Path) -> None:
    kept = KeptMeasurements(file, "a")
    kept.keep_measured(MEASURED)
    kept.keep_footprint(FOUND)
    kept.keep_measured(Measured(None, MEASURED.products))
    for each in (kept, KeptMeasurements(file, "a")):
        assert each.footprint(FOUND.free) is None
        assert each.measured == Measured(None, MEASURED.products)


def test_a_footprint_that_was_wrong_goes_alone(file: Path) -> None:
    kept = KeptMeasurements(file, "a")
    kept.forget_footprint()
    assert not file.exists()
    kept.keep_measured(MEASURED)
    kept.keep_footprint(FOUND)
    kept.forget_footprint()
    for each in (kept, KeptMeasurements(file, "a")):
        assert each.footprint(FOUND.free) is None and each.measured == MEASURED


def test_old_configurations_are_forgotten(file: Path) -> None:
    for number in range(KEPT_ENTRIES + 1):
        KeptMeasurements(file, str(number)).keep_footprint(FOUND)
    assert KeptMeasurements(file, "0").footprint(FOUND.free) is None
    assert KeptMeasurements(file, "1").footprint(FOUND.free) == FOUND


def test_a_file_that_is_broken_or_in_the_way_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "memory.json"
    file.write_text("{")
    assert KeptMeasurements(file, "a").footprint(0) is None
    assert "cannot read what was measured" in caplog.text
    file.unlink()
    file.mkdir()
    KeptMeasurements(file, "a").keep_footprint(FOUND)
    assert "cannot keep what was measured" in caplog.text
    nowhere = KeptMeasurements(None, "a")
    assert nowhere.footprint(2**60) is None
    nowhere.keep_measured(MEASURED)
    nowhere.keep_footprint(FOUND)
    nowhere.forget_footprint()


def test_a_fingerprint_names_what_matters() -> None:
    one = fingerprint(options(), "a card")
    changes: list[Callable[[], str]] = [
        lambda: fingerprint(options(), "another card"),
        lambda: fingerprint(options(max_num_seqs=6), "a card"),
        lambda: fingerprint(options(graphs=True), "a card"),
        lambda: fingerprint(options(portable=True), "a card"),
    ]
    assert all(change() != one for change in changes)
    assert fingerprint(options(gpu_memory_utilization=0.5, measured="f", threads=3, faults="d"), "a card") == one
