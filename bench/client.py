"""A client that checks: one request, and everything of its answer that has to be the same each time."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Choice:
    text: str = ""
    token_ids: list[int] = field(default_factory=list)  # where the request asked for them
    logprob_tokens: list[str] = field(default_factory=list)
    finish: str | None = None


@dataclass
class Reply:
    """`choices` and `tokens` are the answer; equal requests have equal ones."""

    choices: dict[int, Choice] = field(default_factory=dict)
    tokens: int = 0  # of output, as the server counts them
    error: str = ""  # what went wrong; the answer is not whole then
    arrivals: list[float] = field(default_factory=list)  # of pieces of a stream, in seconds on the monotonic clock

    def difference(self, right: Reply) -> str:
        """Where it differs from the right answer, in words; empty if it does not."""
        if sorted(self.choices) != sorted(right.choices):
            return f"choices {sorted(self.choices)} instead of {sorted(right.choices)}"
        for index, theirs in right.choices.items():
            ours = self.choices[index]
            if ours.token_ids != theirs.token_ids:
                pairs = zip(ours.token_ids, theirs.token_ids, strict=False)
                same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
                what = "shorter or longer" if same is None else f"other from token {same} on"
                return f"choice {index} is {what}: {ours.token_ids} instead of {theirs.token_ids}"
            if ours != theirs:
                return f"choice {index} has the same tokens, but is {ours} instead of {theirs}"
        return "" if self.tokens == right.tokens else f"{self.tokens} tokens are counted instead of {right.tokens}"

    def take(self, choice: dict[str, Any]) -> None:
        """A choice of a whole answer or of a chunk, in the chat form or the completions form."""
        mine = self.choices.setdefault(choice["index"], Choice())
        message = choice.get("message") or choice.get("delta") or choice
        mine.text += message.get("content") or message.get("text") or ""
        mine.token_ids += choice.get("token_ids") or []
        logprobs = choice.get("logprobs") or {}
        mine.logprob_tokens += logprobs.get("tokens") or [one["token"] for one in logprobs.get("content") or ()]
        mine.finish = choice.get("finish_reason") or mine.finish


def connect(seconds: float) -> aiohttp.ClientSession:
    """A session for any number of requests at once, each of which may take so many seconds."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any], reply: Reply | None = None) -> Reply:
    """Send one request and take the whole answer. A `reply` of the caller's can be looked at while it fills."""
    reply = Reply() if reply is None else reply
    try:
        async with session.post(url, json=body) as response:
            if response.status != 200:
                reply.error = f"status {response.status}: {(await response.text())[:300]}"
            elif body.get("stream"):
                await _read_stream(response, reply)
            else:
                content = await response.json()
                reply.tokens = content["usage"]["completion_tokens"]
                for choice in content["choices"]:
                    reply.take(choice)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reply.error = f"{type(error).__name__}: {error}"
    if not reply.error and any(choice.finish is None for choice in reply.choices.values()):
        reply.error = "a choice has no end"
    return reply


async def _read_stream(response: aiohttp.ClientResponse, reply: Reply) -> None:
    async for line in response.content:
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            return
        event = json.loads(line[6:])
        if "error" in event:
            reply.error = f"in the stream: {event['error']}"
            return
        reply.arrivals.append(time.monotonic())
        for choice in event["choices"]:
            reply.take(choice)
        if event.get("usage"):
            reply.tokens = event["usage"]["completion_tokens"]
    reply.error = "the stream ended without [DONE]"
