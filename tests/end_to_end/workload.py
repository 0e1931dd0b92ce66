"""Requests of every kind from a fixed seed, and what their answers say: the same in whatever way they are fetched."""

from __future__ import annotations

import json
import random
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import httpx
from running import GUARD, RunningServer, image_part, picture, text_part, user

WORDS = ("doll", "that", "rights", "itself", "falls", "stands", "again", "however", "pushed", "weight", "low")
SIZES = ((56, 56), (84, 56), (150, 60), (70, 112))  # of images, in pixels
FLAVOURS: tuple[dict[str, Any], ...] = (  # a draw from a large vocabulary costs more than all else: few draw
    {},
    {"presence_penalty": 1.0, "frequency_penalty": 0.05, "vllm_xargs": {"no_repeat_ngram_size": 100}},
    {"temperature": 0.2, "top_p": 0.9},
    {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
    {"stop": ["z", "qu"], "include_stop_str_in_output": True},
    {"temperature": 1.0, "top_k": 20, "min_p": 0.02, "n": 2},
    {"stop": ["he", "x"], "min_tokens": 8},
    {"logprobs": 3},
    {"presence_penalty": 0.5, "n": 2},
    {"temperature": 0.7, "logprobs": 2, "frequency_penalty": 0.5},
    {"ignore_eos": False, "min_tokens": 5},
    {"logit_bias": {"1000": 6.0, "2000": 6.0, "11": -100.0}, "temperature": 0.0},
)


@dataclass(frozen=True)
class Asked:
    path: str
    body: dict[str, Any]

    def streamed(self) -> Asked:
        return replace(self, body=self.body | {"stream": True, "stream_options": {"include_usage": True}})


@dataclass(frozen=True)
class Choice:
    """One answer. `logprobs` are those of its tokens, in order, with what else was likely there."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: str | None
    stop_reason: str | int | None
    tops: tuple[tuple[str, ...], ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    status: int
    choices: tuple[Choice, ...]
    usage: tuple[int, int]  # tokens of prompt and of answers
    error: dict[str, Any] | None = None
    whole: bool = True  # a stream that ended as one should

    def equals(self, other: Answer) -> bool:
        """Token for token. Logprobs may differ by rounding: another batch or another rung adds in another order."""
        return _without_numbers(self) == _without_numbers(other) and all(
            abs(mine - yours) < 1e-3
            for one, two in zip(self.choices, other.choices, strict=True)
            for mine, yours in zip(one.logprobs, two.logprobs, strict=True)
        )


def _without_numbers(answer: Answer) -> Answer:
    return replace(answer, choices=tuple(replace(choice, logprobs=()) for choice in answer.choices))


def mixed_requests(count: int, seed: int, least: int = 8, most: int = 36) -> list[Asked]:
    """Every flavour, as chat, chat with images and completion. Answers of `least` to `most` tokens; unequal prompts."""
    dice = random.Random(seed)
    asked = []
    for index in range(count):
        flavour = dict(FLAVOURS[index % len(FLAVOURS)])
        text = f"{index}: " + " ".join(dice.choices(WORDS, k=dice.randrange(3, 60)))
        length = least + int((most - least) * dice.random() ** 2)  # mostly short
        body = {"max_tokens": length, "temperature": 0, "seed": dice.randrange(2**31),
                "ignore_eos": dice.random() < 0.8, "return_token_ids": True} | flavour  # fmt: skip
        kind = dice.choice(("completion", "chat", "images"))
        if kind == "completion":
            one = Asked("/v1/completions", body | {"prompt": text})
        else:
            images = [image_part(picture(dice.randrange(9), *dice.choice(SIZES))) for _ in range(kind == "images")]
            if "logprobs" in body:
                body |= {"logprobs": True, "top_logprobs": flavour["logprobs"]}
            one = Asked("/v1/chat/completions", body | {"messages": user(*images, text_part(text))})
        asked.append(one)
    return asked


class Crowd:
    """Clients that send requests as soon as one of them is free."""

    def __init__(self, server: RunningServer, clients: int) -> None:
        self._server = server
        self._threads = ThreadPoolExecutor(clients)
        self._http = httpx.Client(
            base_url=server.url, timeout=2 * GUARD, limits=httpx.Limits(max_connections=clients, keepalive_expiry=5)
        )

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._http.close()

    def send(self, asked: Asked) -> Future[Answer]:
        return self._threads.submit(self._fetch, asked)

    def send_all(self, asked: list[Asked]) -> list[Future[Answer]]:
        return [self.send(one) for one in asked]

    def _fetch(self, asked: Asked) -> Answer:
        if not asked.body.get("stream"):
            answer = self._http.post(asked.path, json=asked.body)
            return answer_of(answer.status_code, [answer.json()])
        with self._http.stream("POST", asked.path, json=asked.body) as stream:
            payloads = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
        if stream.status_code != 200:
            return answer_of(stream.status_code, [json.loads("".join(payloads))])
        done = payloads[-1:] == ["[DONE]"]
        events = [json.loads(payload) for payload in payloads[: len(payloads) - done]]
        return answer_of(stream.status_code, events, done)


def answer_of(status: int, events: list[dict[str, Any]], whole: bool = True) -> Answer:
    """From the events of a stream, or from the one body of a plain answer."""
    parts: dict[int, list[dict[str, Any]]] = {}
    usage, error = (0, 0), None
    for event in events:
        error = event.get("error") or error
        if event.get("usage"):
            usage = (event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"])
        for choice in event.get("choices", ()):
            parts.setdefault(choice["index"], []).append(choice)
    return Answer(status, tuple(_choice(parts[index]) for index in sorted(parts)), usage, error, whole)


def _choice(parts: list[dict[str, Any]]) -> Choice:
    texts = [part.get("text") or (part.get("delta") or part.get("message") or {}).get("content") for part in parts]
    found = [part["logprobs"] for part in parts if part.get("logprobs")]
    tops: list[tuple[str, ...]] = []
    logprobs: list[float] = []
    for one in found:
        if "content" in one:  # chat
            for token in one["content"]:
                tops.append((token["token"], *(top["token"] for top in token["top_logprobs"])))
                logprobs += [token["logprob"], *(top["logprob"] for top in token["top_logprobs"])]
        else:
            for token, number, top in zip(one["tokens"], one["token_logprobs"], one["top_logprobs"], strict=True):
                tops.append((token, *top))
                logprobs += [number, *top.values()]
    return Choice(
        "".join(text or "" for text in texts),
        tuple(token for part in parts for token in part.get("token_ids") or ()),
        next((part["finish_reason"] for part in reversed(parts) if part.get("finish_reason")), None),
        next((part["stop_reason"] for part in reversed(parts) if part.get("stop_reason") is not None), None),
        tuple(tops),
        tuple(logprobs),
    )
