"""What is shown while loading and once it serves, on a terminal and in a log."""

from __future__ import annotations

import io
import logging
import re

import pytest
from rich.console import Console

from upright.cli.banner import LoadingDisplay, banner
from upright.cli.signals import unless
from upright.logs import OffsetFormatter, zone_line
from upright.messages import AttentionChoice, EngineOptions, Loading, MemoryPart, Ready
from upright.plan.plan import Plan


class Names:
    """What the banner reads of a chat context."""

    names = ("doll", "upright/doll")

    class model:  # noqa: N801
        architecture = "Qwen2VLForConditionalGeneration"


def test_the_banner_tells_everything_that_was_chosen() -> None:
    ready = Ready(
        device="cpu", device_name="A processor", dtype="float16", block_size=16, blocks=100, max_model_len=512,
        max_num_seqs=8, load_seconds=1.0, threads=1, wide_layers=[4, 5], memory=[MemoryPart("weights", 3 * 2**29)],
        attention=[AttentionChoice("decoder", "reference", {"sdpa": "asked not to"})],
    )  # fmt: skip
    options = EngineOptions(
        model_path="m", device="cpu", dtype="float32", load_format="auto", max_model_len=512, max_num_seqs=8,
        max_num_batched_tokens=512, kv_cache_bytes=1, block_size=16, max_pixels=None, seed=0,
    )  # fmt: skip
    plan = Plan(options, 1, 1, 1, 77, ("dtype float32: for a reason",))
    out = io.StringIO()
    Console(file=out, width=200).print(banner(ready, plan, Names(), "http://127.0.0.1:1", 2.34))  # type: ignore[arg-type]
    text = re.sub(" +", " ", out.getvalue())
    for line in (
        "model doll, upright/doll (Qwen2VLForConditionalGeneration)",
        "device cpu: A processor, 1 thread ",
        "dtype float16 (a wider range in 2 layers, which overflow it)",
        "attention, decoder reference (not sdpa: asked not to)",
        "memory, weights 1.50 GiB",
        "KV cache 1600 tokens in 100 blocks of 16",
        "context 512 tokens",
        "concurrency up to 8 sequences; 3 at full context",
        "images up to 77 tokens each",
        "chosen for you dtype float32: for a reason",
        f"time zone {zone_line()}",
        "ready after 2.3 s",
        "address http://127.0.0.1:1/v1",
    ):
        assert line in text


def test_without_a_terminal_progress_is_a_few_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    with caplog.at_level(logging.INFO), LoadingDisplay(Console(file=out)) as display:
        display.show(Loading("importing", 0, 0))
        for done in range(0, 1001):
            display.show(Loading("weights", done * 2**20, 1000 * 2**20))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "starting the engine"
    assert len(lines) == 1 + 5
    assert lines[1:][::4] == ["loading weights: 0 B of 1000.0 MiB", "loading weights: 1000.0 MiB of 1000.0 MiB"]
    assert out.getvalue() == ""


def test_on_a_terminal_progress_is_a_bar(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with caplog.at_level(logging.INFO), LoadingDisplay(console) as display:
        display.show(Loading("weights", 1, 2))
        display.show(Loading("first step", 0, 0))
        assert caplog.records == []
        display.close()
        shown = out.getvalue()
        for _ in range(2):  # two engines, each after a death
            display.show(Loading("importing", 0, 0))
            display.show(Loading("memory", 0, 0))
    assert "running the first step" in shown
    assert out.getvalue() == shown, "no bar comes back once the banner is there"
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["starting the engine", "setting up the KV cache"] * 2


@pytest.mark.parametrize(
    ("zone", "offset", "line"),
    [
        ("UTC0", "+00:00", "UTC, UTC+00:00"),
        ("CST-8", "+08:00", "CST, UTC+08:00"),
        ("NST3:30", "-03:30", "NST, UTC-03:30"),
    ],
)
def test_times_carry_their_offset(monkeypatch: pytest.MonkeyPatch, zone: str, offset: str, line: str) -> None:
    import time

    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        record = logging.makeLogRecord({"msg": "text", "levelname": "INFO", "created": 1_700_000_000.5})
        shown = OffsetFormatter("%(asctime)s %(message)s").format(record)
        zone_shown = zone_line()
    time.tzset()
    assert re.fullmatch(rf"2023-11-1[45] \d\d:\d\d:20\.500{re.escape(offset)} text", shown)
    assert zone_shown == line


def test_work_that_is_not_waited_for_is_cancelled() -> None:
    import asyncio

    async def test() -> None:
        stop, cancelled = asyncio.Event(), asyncio.Event()

        async def work() -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return 1

        async def quick() -> int:
            return 2

        async def failing() -> int:
            raise ValueError("a reason")

        assert await unless(stop, quick()) == 2
        with pytest.raises(ValueError, match="a reason"):
            await unless(stop, failing())
        asyncio.get_running_loop().call_soon(stop.set)
        assert await unless(stop, work()) is None
        assert cancelled.is_set()

    asyncio.run(asyncio.wait_for(test(), 20))
