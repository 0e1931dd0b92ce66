"""A page is read, a question is answered, and it is said how to ask more."""

from __future__ import annotations

import asyncio
import json
import time

from upright import reader
from upright.cli.demo.pasting import curl_command, python_lines
from upright.cli.parse.asking import Server
from upright.cli.parse.command import read_pages
from upright.cli.parse.markdown import markdown_of
from upright.cli.parse.pictures import open_page
from upright.cli.parse.protocol import Block


async def show(url: str, key: str) -> None:
    """What the server there makes of the pictures that come with Upright, on standard output. Raises: NoAnswer."""
    began = time.monotonic()
    samples = json.loads(reader.SAMPLES.read_text())
    page = await asyncio.to_thread(open_page, reader.PAGE)
    blocks = [Block(one["type"], tuple(one["box"])) for one in samples["page"]["blocks"]]
    (found,) = await read_pages([page], url, key, blocks=blocks)
    seconds = time.monotonic() - began
    _say(f"The page {reader.PAGE}, read block by block in {seconds:.1f} s, told where its {len(blocks)} blocks are:")
    _say(markdown_of(found.blocks, found.texts))

    asked, *_, next_asked = [one["question"] for one in samples["receipt"]["questions"]]
    async with Server(url, key) as server:
        answer = await server.answer(await asyncio.to_thread(open_page, reader.RECEIPT), asked)
        _say(f"The receipt {reader.RECEIPT}:\n{asked}\n{answer}")
        _say("Ask more, of this picture or of yours; with curl:")
        _say(curl_command(server.url, server.model, reader.RECEIPT, next_asked, bool(key)))
        _say("in Python, after `pip install openai`:")
        _say(python_lines(server.url, server.model, reader.RECEIPT, next_asked, bool(key)))


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)
