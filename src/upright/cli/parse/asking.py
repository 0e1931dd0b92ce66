"""Asks a server what stands on pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image

from upright.cli.parse.pictures import cut_out, data_url, squashed
from upright.cli.parse.protocol import LAYOUT, SYSTEM, Ask, Block, read_layout, to_read

LAST_PORT = 65535
AT_ONCE = 32  # questions that are out at the same time
NO_REPEATS = 100  # tokens that an answer may not say twice in the same order: that ends circles
SECONDS = httpx.Timeout(600.0, connect=10.0)  # an engine that dies meanwhile costs a pause


class NoAnswer(Exception):
    """The server has not answered; the message is for the person at the terminal."""


@dataclass
class Page:
    """What a model has found on a page. `texts`: by index of the block."""

    blocks: list[Block]
    texts: dict[int, str] = field(default_factory=dict)
    cut_off: list[int] = field(default_factory=list)  # blocks whose text did not come to an end


class Server:
    """One that speaks OpenAI's API. Use as a context. Raises: NoAnswer, where `url` is no address."""

    def __init__(self, url: str, key: str = "", model: str = "") -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        base = url.rstrip("/").removesuffix("/v1")
        self.url = checked(base if "://" in base else f"http://{base}")
        self._client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=SECONDS)
        self._places = asyncio.Semaphore(AT_ONCE)
        self.model = model

    async def __aenter__(self) -> Server:
        if not self.model:
            listed = (await self._asked("GET", "/v1/models")).get("data") or [{}]
            self.model = str(listed[0].get("id", ""))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def page(self, picture: Image.Image, tell: Callable[[int, int], None] = lambda done, total: None) -> Page:
        """Read a page. `tell`: how many of its blocks are read, of how many, as far as is known.

        Raises: NoAnswer.
        """
        tell(0, 0)
        answer, _ = await self._ask(LAYOUT, lambda: squashed(picture))
        page = Page(read_layout(answer))
        questions = to_read(page.blocks)
        tell(0, len(questions))

        async def read(index: int, ask: Ask) -> None:
            text, ended = await self._ask(ask, lambda: cut_out(picture, page.blocks[index]))
            page.texts[index] = text
            if not ended:
                page.cut_off.append(index)
            tell(len(page.texts), len(questions))

        await gathered([read(index, ask) for index, ask in questions.items()])
        return page

    async def answer(self, picture: Image.Image, question: str) -> str:
        """What the model says of a picture when it is asked in plain words. Raises: NoAnswer."""
        url = await asyncio.to_thread(lambda: data_url(picture))
        messages = [{"role": "user", "content": _content(url, question)}]
        choice = await self._chosen({"model": self.model, "temperature": 0.0, "messages": messages})
        return str(choice["message"]["content"] or "")

    async def _ask(self, ask: Ask, picture: Callable[[], Image.Image]) -> tuple[str, bool]:
        """The answer, and whether it ended by itself. Raises: NoAnswer."""
        async with self._places:
            content = _content(await asyncio.to_thread(lambda: data_url(picture())), ask.prompt)
            body = {
                "model": self.model, "temperature": 0.0, "skip_special_tokens": False,
                "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}],
                "presence_penalty": ask.presence_penalty, "frequency_penalty": ask.frequency_penalty,
                "vllm_xargs": {"no_repeat_ngram_size": NO_REPEATS},
            }  # fmt: skip
            choice = await self._chosen(body)
        return str(choice["message"]["content"] or "").removesuffix("<|im_end|>"), choice["finish_reason"] != "length"

    async def _chosen(self, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self._asked("POST", "/v1/chat/completions", body))["choices"][0]
        return found

    async def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = await self._client.request(method, path, json=body)
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error).rstrip(".") or type(error).__name__
            raise NoAnswer(
                f"{self.url} does not answer: {why}; start a server with `upright serve`, or name another with --url"
            ) from error
        except ValueError as error:
            raise NoAnswer(
                f"{self.url}{path} answers {response.status_code} without JSON: is it an OpenAI API?"
            ) from error
        if response.status_code != 200:
            told = answer.get("error") or {}
            raise NoAnswer(f"{self.url}{path} answers {response.status_code}: {told.get('message') or answer}")
        return answer


def checked(url: str) -> str:
    """Itself. Raises: NoAnswer, where it is no address."""
    try:
        port = httpx.URL(url).port
    except httpx.InvalidURL as error:
        raise NoAnswer(f"{url} is no address: {str(error).rstrip('.')}") from error
    if port is not None and port > LAST_PORT:  # a connection would fail in a way that httpx does not tell
        raise NoAnswer(f"{url} is no address: ports end at {LAST_PORT}")
    return url


def _content(url: str, text: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]


async def gathered(work: list[Awaitable[None]]) -> None:
    """All of it; the first that fails ends the others, and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
