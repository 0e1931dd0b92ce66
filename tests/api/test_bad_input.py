"""Whatever a client gets wrong: the right status, a message to act on, and nothing left in the journal."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gzip
import io
import json
import random
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import openai
import PIL.Image
import pytest
from pydantic import ValidationError
from serving import CONTEXT_LENGTH, Server

from upright.api import body as reading
from upright.api.schemas import Body, ChatBody, DetokenizeBody
from upright.api.validation import parse
from upright.chat.context import ChatContext
from upright.chat.errors import BadRequest
from upright.chat.prompt import chat_prompt
from upright.chat.template import ChatTemplate, TemplateOptions
from upright.messages import RequestFault
from upright.supervise.journal import CrashesEngine, DeadlinePassed, EngineGone

HELLO = [{"role": "user", "content": "Hello"}]
CHAT = "/v1/chat/completions"


def refused(answer: httpx.Response, status: int, *words: str, param: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    for word in words:
        assert word in error["message"], error["message"]
    if param is not None:
        assert error["param"] == param
    return dict(error)


def huge_png(width: int, height: int) -> bytes:
    """A valid PNG of one colour, a few kilobytes for any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 5000))
        + chunk(b"IEND", b"")
    )


def with_image(content: bytes) -> dict[str, Any]:
    return with_url("data:image/png;base64," + base64.b64encode(content).decode())


def with_url(url: str, kind: str = "image_url") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, kind: {"url": url}}]}]}


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("temperature", -0.1, "temperature"),
        ("temperature", "1", "temperature"),
        ("temperature", 1e300, "temperature"),
        ("top_p", 1.5, "top_p"),
        ("top_k", -2, "top_k"),
        ("top_k", 1.5, "top_k"),
        ("min_p", 2, "min_p"),
        ("repetition_penalty", 0, "repetition_penalty"),
        ("presence_penalty", 3, "presence_penalty"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", True, "max_tokens"),
        ("max_completion_tokens", -1, "max_completion_tokens"),
        ("n", 0, "n"),
        ("n", 129, "n"),
        ("seed", "x", "seed"),
        ("seed", 2**63, "seed"),
        ("seed", 2**64, "seed"),
        ("seed", -(2**70), "seed"),
        ("max_tokens", 2**63, "max_tokens"),
        ("max_tokens", 10**400, "max_tokens"),
        ("max_tokens", 10**4000, "max_tokens"),
        ("top_k", 2**63, "top_k"),
        ("min_tokens", 2**63, "min_tokens"),
        ("n", 10**40, "n"),
        ("stop_token_ids", [10**400], "stop_token_ids[0]"),
        ("temperature", 10**400, "temperature"),
        ("logit_bias", {"9" * 5000: 1}, "logit_bias"),
        ("stop", ["x"] * 10_000, "stop"),
        ("stop", ["a", ""], "stop[1]"),
        ("stop", "x" * 2000, "stop[0]"),
        ("stop", 5, "stop"),
        ("stop_token_ids", [10**9], "stop_token_ids[0]"),
        ("logit_bias", {"999999999": 1}, "logit_bias"),
        ("logit_bias", {"x": 1}, "logit_bias"),
        ("logit_bias", {"5": 101}, "logit_bias.5"),
        ("top_logprobs", 21, "top_logprobs"),
        ("top_logprobs", 2, "top_logprobs"),
        ("vllm_xargs", {"no_repeat_ngram_size": "3"}, "vllm_xargs.no_repeat_ngram_size"),
        ("response_format", {"type": "json_object"}, "response_format"),
        ("tool_choice", "required", "tool_choice"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}, "tool_choice"),
        ("guided_json", {}, "guided_json"),
        ("chat_template", "{{ 7 }}", "chat_template"),
        ("bad_words", ["no"], "bad_words"),
        ("allowed_token_ids", [5], "allowed_token_ids"),
        ("prediction", {"type": "content", "content": "x"}, "prediction"),
        ("web_search_options", {}, "web_search_options"),
        ("thinking_token_budget", 100, "thinking_token_budget"),
        ("reasoning_effort", "high", "reasoning_effort"),
        ("cache_salt", "secret", "cache_salt"),
        ("priority", -1, "priority"),
        ("documents", [{"text": "x"}], "documents"),
        ("stream", "yes", "stream"),
        ("stream_options", {"include_usage": 5}, "stream_options.include_usage"),
        ("min_tokens", 10_000, "min_tokens"),
        ("messages", [], "messages"),
        ("messages", "Hello", "messages"),
        ("messages", None, "messages"),
        ("messages", ["Hello"], "messages[0]"),
        ("messages", [{"content": "x"}], "messages[0].role"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url"),
        ("messages", [{"role": "user", "content": [{"type": "zzz"}]}], "messages[0].content[0].type"),
        ("messages", [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}],
         "messages[0].tool_calls[0].function.arguments"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(server: Server, field: str, value: Any, param: str) -> None:
    refused(server.post(CHAT, {"messages": HELLO, field: value}), 400, param=param)
    assert not server.service.requests


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_temperatures_that_are_no_numbers(server: Server, value: bytes) -> None:
    body = b'{"messages": [{"role": "user", "content": "x"}], "temperature": ' + value + b"}"
    answer = server.http.post(CHAT, content=body)
    error = refused(answer, 400)
    assert error["param"] == "temperature" or "not valid JSON" in error["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'"x"', b'{"messages": "\xff\xfe"}', b'{"a":' * 100_000, b"[" * 1_000_000, b'{"x": "\\ud800"}'],
)
def test_bodies_that_are_no_json_objects(server: Server, body: bytes) -> None:
    refused(server.http.post(CHAT, content=body), 400, "JSON")


def test_json_nested_within_the_parser_s_limit(server: Server) -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    body = {"messages": HELLO, "tools": [deep], "chat_template_kwargs": deep}
    assert server.http.post(CHAT, content=_dump(body)).status_code in (200, 400)


def _dump(value: Any) -> bytes:
    import sys

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return json.dumps(value).encode()
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("value", [2**70, 10**400])
def test_an_integer_beyond_64_bits_is_told_as_one(server: Server, value: int) -> None:
    refused(server.post(CHAT, {"messages": HELLO, "seed": value}), 400, "64 bits", param="seed")


def test_bodies_in_another_encoding(server: Server) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Köln"}]}, ensure_ascii=False)
    assert server.http.post(CHAT, content=body.encode()).status_code == 200
    place = body.index("ö")
    refused(server.http.post(CHAT, content=body.encode("latin-1")), 400, f"not UTF-8, byte {place} is 0xf6")
    refused(server.http.post(CHAT, content=body.encode("utf-16")), 400, "not UTF-8, byte 0 is 0xff")


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/tokenize", "/detokenize"])
def test_compressed_bodies(server: Server, path: str) -> None:
    content = gzip.compress(json.dumps({"messages": HELLO}).encode())
    error = refused(server.http.post(path, content=content, headers={"content-encoding": "GZip"}), 415, "gzip", "plain")
    assert error["code"] == "unsupported_content_encoding"
    assert server.http.post(CHAT, json={"messages": HELLO}, headers={"content-encoding": "identity"}).is_success


def test_a_body_that_comes_too_slowly(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.05)
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        answer = b""
        while piece := connection.recv(10_000):  # until the server closes the connection
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"1 bytes of 1,000 are there" in answer
    assert b"body_too_slow" in answer


def test_a_slow_line_may_send_a_large_body() -> None:
    assert reading.seconds_for(0) == 30
    assert reading.seconds_for(100 * 2**20) > 6000


def test_unknown_fields_and_nulls_are_ignored(server: Server) -> None:
    body = {"messages": HELLO, "no_such_field": {"a": [1]}, "temperature": None, "n": None, "stop": None, "top_k": None}
    assert server.post(CHAT, body).status_code == 200


def test_a_body_of_200_megabytes_is_not_buffered(server: Server) -> None:
    def chunks() -> Any:
        for _ in range(200):
            yield b" " * 2**20

    refused(server.http.post(CHAT, content=chunks()), 413, "at most 4,194,304")  # chunked: no length is announced
    headers = {"content-length": str(200 * 2**20)}
    refused(server.http.post(CHAT, content=chunks(), headers=headers), 413, "209,715,200")


def test_an_announced_body_is_refused_before_it_is_sent(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            b"Expect: 100-continue\r\nContent-Length: 209715200\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_prompt_over_the_limit(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "word " * CONTEXT_LENGTH}]}
    error = refused(server.post(CHAT, body), 400, f"at most {CONTEXT_LENGTH}", "shorten the prompt")
    assert error["code"] == "context_length_exceeded"


def test_max_tokens_over_the_limit(server: Server) -> None:
    size = server.post("/tokenize", {"messages": HELLO}).json()["count"]
    body = {"messages": HELLO, "max_tokens": CONTEXT_LENGTH}
    refused(server.post(CHAT, body), 400, f"{size} tokens", f"asks for {CONTEXT_LENGTH}", param="max_tokens")
    assert server.post(CHAT, body | {"max_tokens": CONTEXT_LENGTH - size}).status_code == 200


def test_images_over_the_limit_are_counted(server: Server) -> None:
    image = with_image(_png(616, 616))["messages"][0]["content"][0]
    body = {"messages": [{"role": "user", "content": [image] * 10}]}
    refused(server.post(CHAT, body), 400, "4840 of them for 10 image(s)", "fewer or smaller images")


def test_a_text_far_over_the_limit_is_not_tokenized(server: Server) -> None:
    refused(server.post("/v1/completions", {"prompt": "x" * 4_000_000}), 400, "4,000,000 characters", param="prompt")


@pytest.mark.parametrize("stop", ["short", "x" * 1000])
def test_a_model_that_is_not_served(server: Server, stop: str) -> None:
    error = refused(server.post(CHAT, {"messages": HELLO, "model": stop}), 404, "'tiny'")
    assert error["code"] == "model_not_found"


def test_paths_and_methods_that_are_not_there(server: Server) -> None:
    refused(server.http.get("/v2/nothing"), 404, "/v2/nothing")
    refused(server.http.get(CHAT), 405, "GET")


@pytest.mark.parametrize("prompt", ["", [], [[]], ["a", 5], [True], [10**9], [-1], 5, {"a": 1}, None, [151655]])
def test_completion_prompts(server: Server, prompt: Any) -> None:
    refused(server.post("/v1/completions", {"prompt": prompt}), 400, "prompt")


def test_placeholders_in_a_text_are_refused(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "look: <|image_pad|>"}]}
    refused(server.post(CHAT, body), 400, "<|image_pad|>", param="messages[0].content")
    refused(server.post("/v1/completions", {"prompt": "<|video_pad|>"}), 400, "<|video_pad|>")


# ---- media -----------------------------------------------------------------------------------------------------------


def _png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    PIL.Image.new("L", (width, height)).save(out, "PNG")
    return out.getvalue()


def test_a_huge_png_costs_nothing(server: Server) -> None:
    error = refused(server.post(CHAT, with_image(huge_png(30_000, 30_000))), 400, "30000x30000", "50,000,000")
    assert error["code"] == "image_too_large"


def test_an_extreme_aspect_ratio(server: Server) -> None:
    refused(server.post(CHAT, with_image(_png(3000, 10))), 400, "aspect ratio of 300", "200")


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", _png(60, 60)[:30], b"GIF89a", b"RIFF0000WEBP"]
)
def test_what_is_no_image(server: Server, content: bytes) -> None:
    error = refused(server.post(CHAT, with_image(content)), 400, "messages[0].content[0].image_url.url")
    assert error["code"] == "invalid_image"


def test_damaged_images_never_break_the_server(server: Server) -> None:
    chance = random.Random(0)
    originals = []
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        out = io.BytesIO()
        PIL.Image.effect_noise((64, 64), 50).convert("RGB").save(out, kind)
        originals.append(out.getvalue())
    for _ in range(60):
        content = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 8)):
            content[chance.randrange(min(len(content), 120))] = chance.randrange(256)
        assert server.post(CHAT, with_image(bytes(content))).status_code in (200, 400)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:image/png;base64", "comma"),
        ("data:image/png;base64,A", "base64"),
        ("ftp://example.com/a.png", "http(s)"),
        ("file:///etc/passwd", "--allowed-local-media-path"),
        ("http://127.0.0.1:1/a.png", "--allow-private-media"),
        ("http://localhost/a.png", "--allow-private-media"),
        ("http://[::1]/a.png", "--allow-private-media"),
        ("http://[::ffff:127.0.0.1]/a.png", "--allow-private-media"),
        ("http://0x7f000001/a.png", "--allow-private-media"),
        ("http://169.254.169.254/latest/meta-data", "--allow-private-media"),
        ("http://10.0.0.1/a.png", "--allow-private-media"),
        ("http://0.0.0.0/a.png", "--allow-private-media"),
        ("http://", "host"),
        ("http://[::1", "valid URL"),
        ("just text", "data:"),
        ("", "got an empty string"),
    ],
)
def test_urls_that_are_refused(server: Server, url: str, words: str) -> None:
    refused(server.post(CHAT, with_url(url)), 400, words, param="messages[0].content[0].image_url.url")


@pytest.mark.parametrize("kind", ["video_url", "input_video", "input_audio", "audio_url"])
def test_videos_and_audio(server: Server, kind: str) -> None:
    refused(server.post(CHAT, with_url("data:,x", kind)), 400, "text and images", param="messages[0].content[0]")


def test_an_image_in_a_system_message_that_the_template_drops(server: Server) -> None:
    image = with_image(_png(56, 56))["messages"][0]["content"]
    tool_calls = {"role": "tool", "content": image}
    assert server.post(CHAT, {"messages": [*HELLO, tool_calls]}).status_code == 200  # this one keeps it


def test_a_text_model_sees_no_images(
    serve: Callable[[ChatContext], Server], make_context: Callable[..., ChatContext]
) -> None:
    server = serve(make_context("qwen2"))
    refused(server.post(CHAT, with_image(_png(56, 56))), 400, "text only")
    assert server.post(CHAT, {"messages": HELLO}).status_code == 200
    assert server.is_empty()


# ---- the engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_that_the_engine_finds(server: Server, stream: bool) -> None:
    server.service.script = lambda request: [RequestFault("invalid_image", "the image is truncated")]
    error = refused(server.post(CHAT, {"messages": HELLO, "stream": stream}), 400, "the image is truncated")
    assert error["code"] == "invalid_image"


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_of_the_server_s_own(server: Server, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    fault = RequestFault("not_finite", "the weights are damaged", servers=True)
    server.service.script = lambda request: [fault]
    answer = server.post(CHAT, {"messages": HELLO, "stream": stream})
    error = refused(answer, 500, "the weights are damaged")
    assert (error["type"], error["code"]) == ("server_error", "not_finite")
    assert answer.headers["x-should-retry"] == "false"
    assert f"request {server.service.requests[0].id} failed after 0 tokens: the weights are damaged" in caplog.messages


@pytest.mark.parametrize("stop", [None, "."])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_the_place_of_an_image_that_the_engine_cannot_read(
    server: Server, stream: bool, n: int, stop: str | None
) -> None:
    server.service.script = lambda request: [RequestFault("invalid_image", "the image is truncated", 2)]
    image = with_image(_png(56, 56))["messages"][0]["content"][0]
    first, text = {"role": "user", "content": [image, image]}, {"type": "text", "text": "Hello"}
    messages = [first, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": [text, image]}]
    place = "messages[2].content[1].image_url.url"
    answer = server.post(CHAT, {"messages": messages, "stream": stream, "n": n, "stop": stop})
    error = refused(answer, 400, f"{place}: the image is truncated", param=place)
    assert error["code"] == "invalid_image"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_an_engine_that_dies_before_the_first_token(server: Server, stream: bool, n: int) -> None:
    server.service.script = lambda request: [EngineGone("the engine died", 7)]
    answer = server.post(CHAT, {"messages": HELLO, "stream": stream, "n": n})
    refused(answer, 503, "the engine died")
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_crashes_every_engine(server: Server, stream: bool) -> None:
    server.service.script = lambda request: [CrashesEngine("20261121-200000-0000")]
    answer = server.post(CHAT, {"messages": HELLO, "stream": stream})
    error = refused(answer, 500, "upright incidents 20261121-200000-0000")
    assert error["code"] == "request_crashes_engine"
    asked = len(server.service.requests)
    with pytest.raises(openai.InternalServerError, match="20261121-200000-0000"):
        server.openai.with_options(max_retries=2).chat.completions.create(model="tiny", messages=HELLO)
    assert len(server.service.requests) == asked + 1, "the client is told not to try again"


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_takes_too_long(server: Server, stream: bool) -> None:
    server.service.script = lambda request: [DeadlinePassed(1.5)]
    error = refused(server.post(CHAT, {"messages": HELLO, "stream": stream}), 504, "1.5 s")
    assert error["code"] == "timeout"


def test_a_stream_that_fails_has_an_error_event_and_no_end(server: Server) -> None:
    tokens = server.context.tokenizer.encode("Hello there", False)
    server.service.script = lambda request: [tokens, EngineGone("the engine died", 7)]
    answer = server.post(CHAT, {"messages": HELLO, "stream": True})
    assert answer.status_code == 200
    events = [event for event in answer.text.split("\n\n") if event]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["message"] == "the engine died"
    assert "[DONE]" not in answer.text
    with pytest.raises(openai.APIError, match="the engine died"):
        list(server.openai.chat.completions.create(model="tiny", messages=HELLO, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_an_aborted_request_may_be_sent_again(server: Server, stream: bool) -> None:
    server.service.script = lambda request: ["abort"]
    answer = server.post("/v1/completions", {"prompt": "x", "stream": stream})
    refused(answer, 503, "send it again")


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_queue(server: Server, stream: bool) -> None:
    server.service.limit, server.service.others = 4, 2
    answer = server.post(CHAT, {"messages": HELLO, "n": 3, "stream": stream})
    refused(answer, 429, "queue is full")
    assert answer.headers["retry-after"] == "3"


def test_more_answers_than_the_server_ever_holds(server: Server) -> None:
    """To come back later would not help."""
    server.service.limit = 4
    words = ("5 answers", "more than 4", "--max-num-seqs", "--max-queue")
    for path, body, param in (
        (CHAT, {"messages": HELLO, "n": 5}, "n"),
        ("/v1/completions", {"prompt": ["x"] * 5}, "prompt"),
    ):
        answer = server.post(path, body)
        error = refused(answer, 400, *words, param=param)
        assert error["code"] == "too_many_answers"
        assert "retry-after" not in answer.headers
    assert server.post(CHAT, {"messages": HELLO, "n": 4}).status_code == 200


def test_no_engine(server: Server) -> None:
    server.service.state = "starting"
    answer = server.post(CHAT, {"messages": HELLO})
    refused(answer, 503, "starting")
    assert answer.headers["retry-after"] == "3"


def test_a_bug_is_told_by_its_incident_only(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def script(request: Any) -> list[Any]:
        return [[1]]

    server.service.script = script
    server.service.submit = lambda request: 1 / 0  # type: ignore[method-assign,assignment]
    try:
        error = refused(server.post(CHAT, {"messages": HELLO}), 500, "bug")
    finally:
        del server.service.submit  # type: ignore[method-assign]
    assert "division" not in error["message"]
    incident = error["message"].rpartition(" ")[2]
    assert incident in caplog.text
    assert "ZeroDivisionError" in caplog.text


# ---- clients that go -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_before_the_answer(server: Server, stream: bool, n: int) -> None:
    server.service.script = lambda request: ["hang"]

    async def go() -> None:
        async with httpx.AsyncClient(base_url=server.url) as client:
            call = asyncio.create_task(client.post(CHAT, json={"messages": HELLO, "stream": stream, "n": n}))
            while len(server.service.journal) < n:  # noqa: ASYNC110 - it lives in another thread's loop
                await asyncio.sleep(0.01)
            call.cancel()

    asyncio.run(asyncio.wait_for(go(), 20))
    assert server.is_empty()


@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_goes_during_the_stream(server: Server, n: int) -> None:
    tokens = server.context.tokenizer.encode("Hello there", False)
    server.service.script = lambda request: [tokens, "hang"]
    body = {"messages": HELLO, "stream": True, "n": n}
    with httpx.Client(base_url=server.url, timeout=20) as client, client.stream("POST", CHAT, json=body) as answer:
        texts = answer.iter_text()  # dropping the iterator would close the connection
        next(texts)
        assert len(server.service.journal) == n
    assert server.is_empty()


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_api_keys(serve: Callable[[ChatContext], Server], make_context: Callable[..., ChatContext]) -> None:
    server = serve(make_context("qwen2", api_key="first,second", served_model_name="one,two"))
    for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": "first"}, {"authorization": "Basic first"}):
        for path in (CHAT, "/v1/completions", "/tokenize", "/detokenize"):
            error = refused(server.post(path, {}, headers=header), 401, "Bearer")
            assert error["code"] == "invalid_api_key"
        refused(server.http.get("/v1/models", headers=header), 401)
    key = {"authorization": "Bearer second"}
    models = server.http.get("/v1/models", headers=key).json()["data"]
    assert [model["id"] for model in models] == ["one", "two"]
    assert [model["architecture"]["input_modalities"] for model in models] == [["text"], ["text"]]
    assert server.post(CHAT, {"messages": HELLO, "model": "two"}, headers=key).json()["model"] == "two"
    for path in ("/health", "/live", "/metrics", "/version"):
        assert server.http.get(path).status_code == 200


MANY = 300_000


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (DetokenizeBody, "tokens", ["a"] * MANY), (DetokenizeBody, "tokens", [1] * 2_000_000),
        (ChatBody, "tools", [1] * MANY), (ChatBody, "tools", [{}] * MANY), (ChatBody, "documents", [1] * MANY),
        (ChatBody, "stop", [1] * MANY), (ChatBody, "stop", ["a"] * MANY), (ChatBody, "stop_token_ids", ["a"] * MANY),
        (ChatBody, "logit_bias", {str(token): "a" for token in range(MANY)}),
    ],
)  # fmt: skip
def test_the_first_fault_of_many_is_enough(kind: type[Body], field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"messages": [], field: value})
    assert caught.value.error_count() == 1  # all of them would take gigabytes, and everybody's time
    with pytest.raises(BadRequest, match=field):
        parse(kind, {"messages": [], field: value})


def test_more_messages_than_there_is_room_for_tokens(server: Server) -> None:
    many = 50_000
    told = f"{many:,} messages or parts"
    refused(server.post(CHAT, {"messages": [{"role": "user", "content": ""}] * many}), 400, told, param="messages")
    parts = [{"type": "text", "text": ""}] * many
    refused(server.post(CHAT, {"messages": [{"role": "user", "content": parts}]}), 400, told, param="messages")
    refused(server.post("/v1/completions", {"prompt": ["a"] * many}), 400, f"{many:,} prompts", param="prompt")
    refused(server.post("/v1/completions", {"prompt": [1] * many + ["a"]}), 400, param=f"prompt[{many}]")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", b'{"prompt": "a\\ud800b", "x": NaN}'),
        ("/tokenize", b'{"prompt": "a\\udc00", "x": Infinity}'),
        (CHAT, b'{"messages": [{"role": "user", "content": "\\uD83D"}], "x": NaN}'),
        (CHAT, b'{"messages": [], "\\ud800": NaN}'),
    ],
)
def test_half_of_a_character_beside_an_odd_number(server: Server, path: str, body: bytes) -> None:
    refused(server.http.post(path, content=body), 400, "not valid JSON", "is half of a character")
    assert server.http.post("/tokenize", content=b'{"prompt": "\\ud83c\\udf89", "x": NaN}').status_code == 200


def test_half_of_a_character_in_the_arguments_of_a_call(server: Server) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": "\\ud83d"}'}}
    messages = [*HELLO, {"role": "assistant", "content": "", "tool_calls": [call]}]
    name = "messages[1].tool_calls[0].function.arguments"
    refused(server.post(CHAT, {"messages": messages}), 400, "not valid JSON", param=name)


def test_a_penalty_that_no_number_of_the_model_would_survive(server: Server) -> None:
    body = {"messages": HELLO, "repetition_penalty": 1e-38}
    refused(server.post(CHAT, body), 400, "greater than or equal to 0.01", param="repetition_penalty")


def test_a_role_that_nobody_knows(server: Server) -> None:
    body = {"messages": [*HELLO, {"role": "asistant", "content": "x"}]}
    refused(server.post(CHAT, body), 400, "'asistant'", "assistant, developer", param="messages[1].role")


def test_a_body_that_is_not_there_yet_when_the_server_stops(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LOOK_SECONDS", 0.02)
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(b'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"pro')
        try:
            server.service.state = "draining"
            answer = connection.recv(10_000)
        finally:
            server.service.state = "ready"
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"shutting down" in answer and b"retry-after: 3" in answer


def test_a_reserved_text_that_a_template_writes_beside_the_contents(vision_context: ChatContext) -> None:
    template = ChatTemplate("{% for message in messages %}{{ message.name }}: {{ message.content }}{% endfor %}", {})
    context = dataclasses.replace(vision_context, template=template)
    messages = [{"role": "user", "name": "<|video_pad|>", "content": "x"}]
    with pytest.raises(BadRequest, match=r"messages holds the text <\|video_pad\|>, which this model reserves"):
        asyncio.run(chat_prompt(context, messages, TemplateOptions()))
