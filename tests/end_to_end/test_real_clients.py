"""Clients as people use them see nothing of an engine's death but time: `openai`, and MinerU's own."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from mineru_vl_utils import MinerUClient
from PIL import Image
from running import GUARD, RunningServer, eventually, image_part, picture, text_part, user

CONTEXT = 192  # tokens; MinerU's client names no limit, so its answers fill the context
MESSAGES: Any = user(image_part(picture(3, 84, 56)), text_part("What is it?"))
OPTIONS: Any = {"model": "tiny", "max_tokens": 80, "extra_body": {"ignore_eos": True, "top_k": 20}}
CHAT: Any = OPTIONS | {"messages": MESSAGES, "temperature": 0}
COMPLETION: Any = OPTIONS | {"prompt": ["One doll", "Two dolls"], "temperature": 0.7, "seed": 1}
PAGES = [Image.open(io.BytesIO(picture(seed, 300, 400))).convert("RGB") for seed in (11, 12)]
BLOCKS = [
    {"type": "text", "bbox": [0.1, 0.1, 0.9, 0.2]},
    {"type": "table", "bbox": [0.1, 0.2, 0.9, 0.5]},
    {"type": "equation", "bbox": [0.1, 0.5, 0.9, 0.6], "angle": 90},
    {"type": "title", "bbox": [0.1, 0.6, 0.9, 0.65]},
]


@pytest.fixture(scope="module")
def mortal(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    options = ("--max-model-len", str(CONTEXT), "--max-num-seqs", "8", "--max-pixels", "40000")
    running = RunningServer(model, tmp_path_factory.mktemp("mortal"), *options)
    try:
        yield running.wait_until_ready()
    finally:
        running.end()


def while_engines_die(server: RunningServer, work: Callable[[], list[Any]], deaths: int) -> list[Any]:
    """What `work` returns, when so many engines have died under it."""
    before = server.status()["deaths"]
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(work)
        for number in range(deaths):
            eventually(lambda: server.status()["in_flight"], "the engine has something to do")
            started = server.metrics().get("engine_decode_tokens_total", 0) if number == 0 else 0
            eventually(
                lambda start=started: server.metrics().get("engine_decode_tokens_total", 0) > start + 10,
                "the engine is at work",
            )
            engine = server.engine_pid
            assert engine is not None
            assert not future.done()
            os.kill(engine, signal.SIGKILL)
            eventually(lambda goal=before + number + 1: server.status()["deaths"] == goal, "the engine dies")
        return future.result()


def texts_of(chunks: list[Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        text = choice.text if hasattr(choice, "text") else choice.delta.content
        found[choice.index] = found.get(choice.index, "") + (text or "")
    return found


def ask(client: openai.OpenAI) -> list[Any]:
    return [
        client.chat.completions.create(**CHAT).choices[0].message.content,
        texts_of(list(client.chat.completions.create(**CHAT, stream=True))),
        [choice.text for choice in client.completions.create(**COMPLETION).choices],
        texts_of(list(client.completions.create(**COMPLETION, stream=True))),
    ]


async def ask_at_once(url: str) -> list[Any]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=GUARD) as client:

        async def streamed(opened: Any) -> dict[int, str]:
            return texts_of([chunk async for chunk in await opened])

        whole, chat, several, completion = await asyncio.gather(
            client.chat.completions.create(**CHAT),
            streamed(client.chat.completions.create(**CHAT, stream=True)),
            client.completions.create(**COMPLETION),
            streamed(client.completions.create(**COMPLETION, stream=True)),
        )
    return [whole.choices[0].message.content, chat, [choice.text for choice in several.choices], completion]


def test_the_openai_client(mortal: RunningServer) -> None:
    """It is told not to try anything twice."""
    undisturbed = ask(mortal.openai)
    assert undisturbed[1] == {0: undisturbed[0]}
    assert undisturbed[3] == dict(enumerate(undisturbed[2]))
    assert while_engines_die(mortal, lambda: ask(mortal.openai), 2) == undisturbed
    assert while_engines_die(mortal, lambda: asyncio.run(ask_at_once(mortal.url)), 1) == undisturbed


def read_pages(client: MinerUClient) -> list[Any]:
    """Layout and recognition, as MinerU does them. Random weights find no blocks, so recognition is given some."""
    layout_image = client.helper.prepare_for_layout(PAGES[0])
    return [
        client.client.predict(layout_image, client.prompts["[layout]"], client.sampling_params["[layout]"]),
        [list(page) for page in client.batch_two_step_extract(PAGES)],
        [list(page) for page in client.batch_extract_with_layout(PAGES, [BLOCKS, BLOCKS[:2]])],
    ]


async def read_pages_at_once(client: MinerUClient) -> list[Any]:
    layout_image = client.helper.prepare_for_layout(PAGES[0])
    layout, found, recognised = await asyncio.gather(
        client.client.aio_predict(layout_image, client.prompts["[layout]"], client.sampling_params["[layout]"]),
        client.aio_batch_two_step_extract(PAGES),
        client.aio_batch_extract_with_layout(PAGES, [BLOCKS, BLOCKS[:2]]),
    )
    await client.client.aclose_current_loop()
    return [layout, [list(page) for page in found], [list(page) for page in recognised]]


def test_the_client_of_mineru(mortal: RunningServer) -> None:
    client = MinerUClient("http-client", server_url=mortal.url, max_retries=0, use_tqdm=False)
    undisturbed = read_pages(client)
    assert len(undisturbed[0]) > 0
    assert [block["type"] for block in undisturbed[2][0]] == [block["type"] for block in BLOCKS]
    assert all(page[0]["content"] for page in undisturbed[2])
    assert while_engines_die(mortal, lambda: read_pages(client), 2) == undisturbed
    assert while_engines_die(mortal, lambda: asyncio.run(read_pages_at_once(client)), 1) == undisturbed
