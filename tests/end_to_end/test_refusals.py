"""Broken requests through the whole stack: each gets its own 400, and the server is as well as before."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from running import CONTEXT, Clients, RunningServer, eventually, image_part, picture, text_part, user

GOOD_PNG, GOOD_JPEG = picture(5, 200, 120), picture(5, 200, 120, "JPEG")


@pytest.fixture(autouse=True)
def unharmed(shared_server: RunningServer) -> Iterator[None]:
    """The same answer before and after, from the same engine, and nothing held."""
    engine, answer = shared_server.engine_pid, shared_server.complete()
    yield
    eventually(shared_server.is_idle, "every block is free again")
    assert shared_server.complete() == answer
    assert shared_server.engine_pid == engine


def ask(server: RunningServer, *images: bytes, **more: Any) -> httpx.Response:
    messages = user(*(image_part(image) for image in images), text_part("What is it?"))
    return server.http.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 4} | more)


def flipped(content: bytes) -> bytes:
    """With the bytes of its pixel data turned over, header and length as they were."""
    return content[:100] + bytes(byte ^ 0xFF for byte in content[100:-20]) + content[-20:]


DAMAGED = {
    "png-truncated": GOOD_PNG[: len(GOOD_PNG) // 2],
    "png-corrupt": flipped(GOOD_PNG),
    "jpeg-truncated": GOOD_JPEG[: len(GOOD_JPEG) * 3 // 4],
    "png-without-pixels": GOOD_PNG[:33],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("damage", DAMAGED)
def test_an_image_that_cannot_be_decoded(server: RunningServer, damage: str, stream: bool) -> None:
    answer = ask(server, GOOD_PNG, DAMAGED[damage], stream=stream)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["code"] == "invalid_image"
    assert error["param"] == "messages[0].content[1].image_url.url"
    assert error["message"].startswith(f"{error['param']}: the ")
    assert "Traceback" not in answer.text


def test_a_damaged_image_harms_nobody_else(server: RunningServer) -> None:
    alone = server.complete(24)
    with Clients(server) as clients:
        others = [clients.post(server.completion(24)) for _ in range(3)]
        assert ask(server, DAMAGED["png-corrupt"]).status_code == 400
        assert [other.result().json()["choices"][0]["text"] for other in others] == [alone] * 3


def test_a_huge_png_of_a_few_kilobytes(server: RunningServer) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes(3751 * 3000), 9)
    answer = ask(server, b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    assert answer.status_code == 400
    assert "30000x30000" in answer.json()["error"]["message"]


def test_a_prompt_over_the_limit_tells_the_numbers(server: RunningServer) -> None:
    answer = server.http.post("/v1/completions", json={"prompt": [1000] * (CONTEXT + 1), "max_tokens": 1})
    assert answer.status_code == 400
    assert str(CONTEXT) in answer.json()["error"]["message"]
    assert str(CONTEXT + 1) in answer.json()["error"]["message"]

    answer = ask(server, picture(1, 900, 900), max_tokens=CONTEXT)
    assert answer.status_code == 400
    assert str(CONTEXT) in answer.json()["error"]["message"]


def test_a_video_is_refused(server: RunningServer) -> None:
    messages = user({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}, text_part("What?"))
    answer = server.http.post("/v1/chat/completions", json={"messages": messages})
    assert answer.status_code == 400
    assert "video" in answer.json()["error"]["message"]
