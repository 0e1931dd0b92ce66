"""What `upright bench` sends, measures and shows; the engine itself is measured in tests/engine/test_benchmark.py."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import uvloop
from typer.testing import CliRunner

from upright.cli.bench.http_client import Answer, Target, ask_all
from upright.cli.bench.http_loads import Outcome, Share, bodies, shares
from upright.cli.bench.last_words import LastWords
from upright.cli.bench.loads import LOADS, Load
from upright.cli.bench.tables import engine_row, load_row, percentile
from upright.cli.commands import app
from upright.engine.bench_cases import Peaks, Row

Result = TypeVar("Result")

TEXT = b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n'
ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7}}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error": {"message": "it broke"}}\n\n'


def chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def served(answers: list[list[bytes]], count: int, stream: bool = True) -> tuple[list[Answer], list[bytes]]:
    """What a client makes of a server's `answers`, one for each request in turn, and what it sent."""
    waiting, sent = iter(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            sent.append(head + await reader.readexactly(length))
            for piece in next(waiting):
                if piece == b"close":
                    writer.close()
                    return
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.002)

    def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.Task[None]:
        async def until_the_client_goes() -> None:
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        return asyncio.ensure_future(until_the_client_goes())

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found: list[Answer] = []
    target = Target.of(f"http://127.0.0.1:{port}/base/v1", key="secret")
    async with asyncio.timeout(20):
        await ask_all(target, [b"{}"] * count, 1, stream, found.append)
    server.close()
    return found, sent


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """On the loop that the command runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def test_a_stream_is_timed_by_its_pieces() -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [start, chunk(ROLE), chunk(TEXT), chunk(TEXT + TEXT), chunk(USAGE), chunk(DONE), b"0\r\n\r\n"]
    found, sent = run(served([pieces, pieces], 2))
    for answer in found:
        assert (answer.error, answer.tokens) == ("", 7)
        assert answer.began < answer.first < answer.ended
        assert len(answer.gaps) >= 1 and min(answer.gaps) >= 0
    assert sent[0].startswith(b"POST /base/v1/chat/completions HTTP/1.1\r\n")
    assert b"Authorization: Bearer secret\r\n" in sent[0]


def test_failures_are_told_by_kind() -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    found, _ = run(
        served(
            [
                [whole(b"{}", "429 Too Many Requests")],
                [start, chunk(TEXT), chunk(ERROR), b"0\r\n\r\n"],
                [start, chunk(TEXT), b"0\r\n\r\n"],
                [start, chunk(TEXT), b"close"],
                [b"SMTP\r\n\r\n", b"close"],
            ],
            5,
        )
    )
    kinds = [answer.error for answer in found]
    assert kinds[:4] == ["HTTP 429", "error event", "stream cut", "connection closed before the end"]
    assert kinds[4].startswith("not HTTP")


def test_a_whole_answer_needs_no_end_mark() -> None:
    found, _ = run(served([[whole(b'{"usage":{"completion_tokens":3}}')]], 1, stream=False))
    assert (found[0].error, found[0].tokens, found[0].first) == ("", 3, 0.0)


def test_nobody_there_is_an_error_and_no_exception() -> None:
    found: list[Answer] = []
    asyncio.run(ask_all(Target.of("127.0.0.1:1"), [b"{}"], 1, True, found.append))
    assert found[0].error == "ConnectionRefusedError"
    with pytest.raises(ValueError, match="no address"):
        Target.of("ftp://x")


def test_a_load_is_shared_out_whole() -> None:
    load = Load("l", 513, 256, 1)
    for cores in (1, 8, 64):
        parts = list(shares(load, cores))
        assert sum(part.requests for part in parts) == 513
        assert sum(part.at_once for part in parts) == 256
    assert len(list(shares(load, 64))) == 4 and len(list(shares(load, 2))) == 1


def test_requests_differ_and_carry_their_pictures() -> None:
    made = [json.loads(one) for one in bodies(Share("u", "", "m", Load("l", 3, 1, 5, "crop", stream=True), seed=7))]
    assert len({json.dumps(one) for one in made}) == 3
    first = made[0]
    assert (first["model"], first["max_tokens"], first["ignore_eos"]) == ("m", 5, True)
    assert first["stream_options"] == {"include_usage": True}
    kinds = [part["type"] for part in first["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]
    plain = json.loads(bodies(Share("u", "", "m", Load("l", 1, 1, 5, stream=False), seed=7))[0])
    assert "stream_options" not in plain


def test_an_outcome_adds_up() -> None:
    one, two = Outcome(), Outcome()
    one.take(Answer(began=10.0, ended=12.0, first=11.0, gaps=[0.5], tokens=8))
    two.take(Answer(began=9.0, ended=11.0, tokens=4))
    two.take(Answer(began=9.5, ended=13.0, error="HTTP 500"))
    one.add(two)
    one.add(Outcome())
    row = load_row(LOADS[0], one)
    assert (row["finished"], row["errors"], row["seconds"]) == (2, {"HTTP 500": 1}, 4.0)
    assert (row["tokens_per_second"], row["first_token_ms_p50"], row["gap_ms_p99"]) == (3.0, 1000.0, 500.0)
    assert load_row(LOADS[0], Outcome())["latency_ms_p50"] is None
    assert [percentile([3, 1, 2], share) for share in (0, 50, 99)] == [1, 2, 3]


def test_a_step_is_held_against_the_device() -> None:
    peaks = Peaks("card", "bfloat16", 1000.0, 100.0, 1.0, {})
    row = Row("decode", 2, 4.0, 1.0, 20, 16, 9, 0.5, 250.0, 80.0)
    shown = engine_row(row, peaks)
    assert (shown["ms_per_step"], shown["output_tokens_per_second"]) == (500.0, 4.0)
    assert (shown["share_of_memory"], shown["share_of_products"]) == (0.5, 0.2)
    assert engine_row(msgspec.structs.replace(row, decode_step=0.0), peaks)["share_of_memory"] is None


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["m", "--offline"], 1, "upright: "),
        (["--http", "ftp://x"], 2, "no address"),
        (["--http", "http://127.0.0.1:1"], 1, "does not answer"),
        (["m", "--load", "page"], 2, "--http"),
    ],
)
def test_what_cannot_be_measured_is_told(
    given: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["bench", *given])
    assert result.exit_code == code
    assert words in capfd.readouterr().err + result.output


def test_weights_that_do_not_fit_are_told_and_no_traceback(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(tiny_checkpoint("qwen2"), tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"intermediate_size": config["intermediate_size"] * 2}))
    result = CliRunner().invoke(app, ["bench", str(model), "--only", "decode 1"])
    told = capfd.readouterr().err + result.output
    assert result.exit_code == 1
    assert "has shape" in told and "Traceback" not in told


def test_the_last_words_of_a_child_are_passed_on_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    def words(said: str) -> str:
        with subprocess.Popen(["sh", "-c", f"printf '{said}' >&2"], stderr=subprocess.PIPE) as child:
            return LastWords(child).read()

    assert words(r"a\nmemory is full\n\n") == "memory is full"
    assert capfd.readouterr().err == "a\nmemory is full\n\n"
    assert words("") == "it said nothing"
