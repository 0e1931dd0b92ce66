"""A page is read, a question is answered, and it is said how to ask more."""

from __future__ import annotations

import asyncio
import json
import time

from upright import reader
from upright.cli.demo.pasting import curl_command, parse_line, python_lines
from upright.cli.parse.asking import Server
from upright.cli.parse.command import read_pages
from upright.cli.parse.markdown import markdown_of
from upright.cli.parse.pictures import open_page


async def show(url: str, key: str, stays: bool = True) -> None:
    """What the server there makes of the pictures that come with Upright, on standard output; and how it is asked for
    more, if it `stays`. Raises: NoAnswer.
    """
    began = time.monotonic()
    samples = json.loads(reader.SAMPLES.read_text())
    (found,) = [found async for found in read_pages([reader.PAGE], url, key)]
    seconds, count = time.monotonic() - began, len(found.blocks)
    _say(f"The page {reader.PAGE}, laid out and read in {seconds:.1f} s, {count} block{'' if count == 1 else 's'}:")
    _say(markdown_of(found.blocks, found.texts) or "(the model finds nothing on it)")

    asked, *_, next_asked = [one["question"] for one in samples["receipt"]["questions"]]
    async with Server(url, key) as server:
        answer = await server.answer(await asyncio.to_thread(open_page, reader.RECEIPT), asked)
        _say(f"The receipt {reader.RECEIPT}:\n{asked}\n{answer}")
        if not stays:
            return
        _say("Ask more, of this picture or of yours; with curl:")
        _say(curl_command(server.url, server.model, reader.RECEIPT, next_asked, bool(key)))
        _say("in Python, after `pip install openai`:")
        _say(python_lines(server.url, server.model, reader.RECEIPT, next_asked, bool(key)))
        _say("Have a page of yours read:")
        _say(parse_line(server.url, bool(key)))


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)
