#!/usr/bin/env python3
"""How evenly text streams run while pages arrive: the time between two pieces of a stream, before and meanwhile.

Usage: latency_under_pages.py MODEL [--http URL] [--streams 32] [--pages 48] [--at-once 8] [-- options of the server]

Streams run alone for a while, then pages of 1036x1036 pixels come, so many at once, until all of them are done. Random
weights, unless the options say otherwise. JSON to $OUT/latency_under_pages.json.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from pathlib import Path

from servers import FAILURES, parsed, serving, write_json

from upright.cli.bench.http_client import Answer, Target, ask_all
from upright.cli.bench.http_loads import Share, bodies
from upright.cli.bench.loads import Load
from upright.cli.bench.served_models import model_name
from upright.cli.bench.tables import percentile

ALONE_SECONDS = 3.0
PAGE_TOKENS = 64


def gaps(answers: list[Answer], since: float, until: float) -> list[float]:
    """Times between neighbouring pieces, of those that came in that time."""
    found = []
    for answer in answers:
        arrivals = itertools.accumulate(answer.gaps, initial=answer.first)
        found += [gap for at, gap in zip(itertools.islice(arrivals, 1, None), answer.gaps, strict=True)
                  if since <= at <= until]  # fmt: skip
    return found


async def measure(url: str, streams: int, tokens: int, pages: int, at_once: int) -> dict[str, object]:
    model, target = await model_name(url), Target.of(url)
    made = bodies(Share(url, "", model, Load("pages", pages + 2, at_once, PAGE_TOKENS, "page"), 2))
    warm: list[Answer] = []
    await ask_all(target, made[:2], 2, True, warm.append)
    text = Load("streams", streams, streams, tokens)
    texts: list[Answer] = []
    done: list[Answer] = []
    running = asyncio.create_task(ask_all(target, bodies(Share(url, "", model, text, 1)), streams, True, texts.append))
    await asyncio.sleep(1.0)
    alone = time.monotonic()
    await asyncio.sleep(ALONE_SECONDS)
    began = time.monotonic()
    await ask_all(target, made[2:], at_once, True, done.append)
    ended = time.monotonic()
    await running
    row: dict[str, object] = {
        "streams": streams,
        "pages": sum(not answer.error for answer in done),
        "pages_per_second": pages / (ended - began),
        "page_first_token_ms_p50": 1000 * percentile([a.first - a.began for a in done if a.first] or [0.0], 50),
        "errors": [answer.error for answer in [*warm, *texts, *done] if answer.error],
        "streams_outlasted_the_pages": all(answer.ended >= ended for answer in texts),
    }
    for name, since, until in (("alone", alone, began), ("under_pages", began, ended)):
        found = gaps(texts, since, until) or [0.0]
        for share in (50, 95, 99, 100):
            row[f"{name}_ms_p{share}"] = round(1000 * percentile(found, share), 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--http", metavar="URL", help="a server that runs already")
    parser.add_argument("--kit", type=Path, help="measure vLLM from this kit too")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=6000, help="of each stream; enough to outlast the pages")
    parser.add_argument("--pages", type=int, default=48)
    parser.add_argument("--at-once", type=int, default=8)
    options = parsed(parser)
    numbers = options.streams, options.tokens, options.pages, options.at_once
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for name in ("upright", *(["vllm"] if options.kit else [])):
            more = options.more if name == "upright" else []
            try:
                if options.http:
                    found[name] = asyncio.run(measure(options.http, *numbers))
                    break
                log = Path(place) / f"{name}.log"
                with serving(name, options.model, log, *more, kit=options.kit) as server:
                    found[name] = asyncio.run(measure(server.url, *numbers))
            except FAILURES as error:
                found[name] = {"error": f"{type(error).__name__}: {error}"}
    for name, row in found.items():
        print(name)
        for key, value in row.items():
            print(f"    {key}: {value:.2f}" if isinstance(value, float) else f"    {key}: {value}")
    write_json("latency_under_pages.json", found)


if __name__ == "__main__":
    main()
