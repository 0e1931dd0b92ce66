"""The requests of the soak: every kind once, each with one answer that it must always get."""

from __future__ import annotations

import base64
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = """
    river stone mill barrel winter mountain teacher water glass student mirror planet engine bridge harbour market
    letter garden window clock train forest candle island story painter machine village morning silver
""".split()  # noqa: SIM905 - a list of one word a line says no more
EXACT = {"temperature": 0, "return_token_ids": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    body: dict[str, Any]


def cases(model: Path) -> list[Case]:
    """Streams and plain, short and long, greedy and seeded, every penalty, n > 1; images where the model sees."""
    found = [*_completions(), *_chats()]
    if "vision_config" in json.loads((model / "config.json").read_text()):
        found += _pictures()
    return found


def _completions() -> list[Case]:
    def case(name: str, prompt: Any, tokens: int, **more: Any) -> Case:
        body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True, **EXACT, **more}
        return Case(name, "/v1/completions", body)

    penalties = {"repetition_penalty": 1.2, "frequency_penalty": 0.4, "presence_penalty": 0.3}
    bias = {"logit_bias": {"30": -100, "40": 2.5}, "min_tokens": 8}
    return [
        case("short", "The doll falls over and", 6),
        case("long stream", "A long story about a doll that stands up again:", 192, **USAGE),
        case("penalties", "Everything I know about rivers:", 64, **penalties, **USAGE),
        case("no repeated n-grams", "A list of words:", 64, no_repeat_ngram_size=3),
        case("seeded", "Once upon a time", 96, temperature=0.9, top_p=0.95, seed=11, **USAGE),
        case("seeded with penalties", "Names of dolls:", 64, temperature=0.8, top_k=40, seed=12, **penalties),
        case("three answers", "My favourite colour is", 32, n=3, temperature=1.0, seed=13, **USAGE),
        case("two prompts", [_text(1, 12), _text(2, 30)], 32),
        case("long prompt", _text(3, 600), 12),
        case("long prompt stream", _text(4, 400), 48, temperature=0.7, min_p=0.05, seed=14, **USAGE),
        case("logprobs", "One, two, three,", 24, logprobs=3),
        case("bias and stop", "Counting sheep:", 80, stop=["sheep 9", "\n\n\n"], **bias, **USAGE),
    ]


def _chats() -> list[Case]:
    def case(name: str, text: str, tokens: int, **more: Any) -> Case:
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": tokens, **EXACT, **more}
        return Case(name, "/v1/chat/completions", body)

    return [
        case("chat", "What is gravity?", 80),
        case("chat stream", "Tell me about lighthouses.", 80, temperature=0.7, seed=21, **USAGE),
        case("chat, two answers", "Name an animal.", 24, n=2, temperature=1.0, seed=22, ignore_eos=True),
        case("chat logprobs", "Say hello.", 16, logprobs=True, top_logprobs=2, **USAGE),
    ]


def _pictures() -> list[Case]:
    def case(name: str, parts: list[dict[str, Any]], tokens: int, **more: Any) -> Case:
        body = {"messages": [{"role": "user", "content": parts}], "max_tokens": tokens, "ignore_eos": True, **EXACT}
        return Case(name, "/v1/chat/completions", body | more)

    question = {"type": "text", "text": "What is in the picture?"}
    return [
        case("picture stream", [_picture(1, 224, 168), question], 40, **USAGE),
        case("picture", [_picture(2, 140, 280), question], 16, temperature=0.8, seed=31),
        case("two pictures", [_picture(1, 224, 168), question, _picture(3, 84, 112)], 24, n=2, seed=32, **USAGE),
    ]


def _text(seed: int, words: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def _picture(seed: int, width: int, height: int) -> dict[str, Any]:
    from PIL import Image

    small = Image.frombytes("RGB", (8, 8), random.Random(seed).randbytes(192))
    content = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(content, "PNG")
    url = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}
