"""How `bench/gpu/sanitize.py` reads what compute-sanitizer 2025.3 writes."""

from __future__ import annotations

from dataclasses import replace

from bench.gpu.sanitizer_log import Summary, read_log

CLEAN = """========= COMPUTE-SANITIZER
========= ERROR SUMMARY: 0 errors
"""
ASTRAY = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 1 bytes
=========     at _write+0x70 in wild_write.py:14
=========     by thread (0,0,0) in block (0,0,0)
=========     Access at 0x7f1200000010 is out of bounds
=========     and is 1 bytes after the nearest allocation at 0x7f1200000000 of size 16 bytes
=========
========= Invalid __global__ write of size 1 bytes
=========     at _write+0x70 in wild_write.py:14
=========     by thread (0,0,0) in block (1,0,0)
=========     Access at 0x7f1200000011 is out of bounds
=========
========= ERROR SUMMARY: 2 errors
"""
RACE = """========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at _race+0x90
=========     and Read access at _race+0xd0 [124 hazards]
=========
========= Warning: Race reported between Read access at _draw+0x40 in sampling.py:9 [4 hazards]
=========     and Write access at _draw+0x10 in sampling.py:7 [4 hazards]
=========
========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)
"""
COPIES = """========= Error: Race reported between Write access at _draw+0x10 in sampling.py:7 [4 hazards]
=========     and Write access at _draw+0x10 in sampling.py:7 [4 hazards]
=========
========= Error: Race reported between Write access at _draw+0x10 in sampling.py:7 [8 hazards]
=========     and Write access at _draw+0x10 in sampling.py:7 [8 hazards]
=========
========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)
"""


def test_clean_runs() -> None:
    assert read_log(CLEAN) == Summary(0, 0)
    races = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
    assert read_log(races) == Summary(0, 0)


def test_a_run_that_was_cut_off_tells_how_far_it_came() -> None:
    assert read_log("") == Summary(0, 0, ended=False)
    whole = read_log(ASTRAY)
    assert read_log(ASTRAY[: ASTRAY.index("========= ERROR SUMMARY")]) == replace(whole, ended=False)
    found = read_log(RACE[: RACE.index("========= RACECHECK SUMMARY")])
    assert (found.errors, found.warnings, found.ended) == (1, 1, False)


def test_a_complaint_is_told_once_with_its_place() -> None:
    found = read_log(ASTRAY)
    assert found == Summary(2, 0, ("Invalid __global__ write of size 1 bytes at _write+0x70 in wild_write.py:14",))


def test_what_was_not_printed_does_not_count_twice() -> None:
    more = "========= ERROR SUMMARY: 90 errors were not printed. Use --print-limit option to adjust the number\n"
    found = read_log(ASTRAY + more)
    assert found.errors == 2


def test_races() -> None:
    found = read_log(RACE)
    assert (found.errors, found.warnings, found.copies) == (1, 1, 0)
    assert found.complaints == (
        "Error: Race reported between Write access at _race+0x90 and Read access at _race+0xd0",
        "Warning: Race reported between Read access at _draw+0x40 in sampling.py:9 "
        "and Write access at _draw+0x10 in sampling.py:7",
    )


def test_an_instruction_that_races_with_itself_is_told_apart() -> None:
    found = read_log(COPIES)
    assert (found.errors, found.copies, len(found.complaints)) == (2, 2, 1)


HANDED = """========= Error: Race reported between Read access at _attend+0x140 in prefill.py:76
=========     and Write access at _attend+0xb280 in prefill.py:76 [31 hazards]
=========     and Write access at _attend+0x148f0 in prefill.py:84 [50 hazards]
=========
========= Error: Race reported between Read access at _attend+0x140 in prefill.py:76
=========     and Write access at _attend+0xb290 in prefill.py:99 [31 hazards]
=========
========= Error: Race reported between Read access at _attend+0x140
=========     and Write access at _attend+0xb290 in prefill.py:76 [31 hazards]
=========
========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)
"""


def test_what_is_handed_to_warps_is_told_apart() -> None:
    found = read_log(HANDED, {"prefill.py": [(10, 12), (76, 85)]})
    assert (found.errors, found.handed, found.copies) == (3, 1, 0), "every access must lie there"
    assert read_log(HANDED) == Summary(3, 0, found.complaints)


def test_trouble_of_the_tool_itself_is_told() -> None:
    found = read_log("========= Internal Sanitizer Error: device not supported\n" + CLEAN)
    assert found == Summary(0, 0, ("Internal Sanitizer Error: device not supported",))
