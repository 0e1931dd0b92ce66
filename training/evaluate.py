"""What a reader gets right of what it was never trained on, through Upright's own server.

    python -m training.evaluate MODEL [--fonts DIRECTORY] [--texts DIRECTORY] [--each 200] [--only TASKS]
                                [--json FILE] [--show N] [-- more options of `upright serve`]

Fonts, texts and layouts are held out; equal seeds ask the same questions. Prints a table, and with --show the first
answers of each kind that are wrong.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from training.dialogues.fields import ask_field
from training.dialogues.offers import SAVE
from training.dialogues.tools import save_answer
from training.fonts import FontsMissing
from training.render.lines import line
from training.render.nothing import nothing
from training.render.pages import clean_page, page
from training.render.paragraphs import paragraph
from training.render.tables import table
from training.samples import Call, Maker, Pixels, Sample, Turn
from training.scores import cells_of, edit_distance, matches
from training.texts import TextsMissing
from training.train import FONTS, TEXTS, open_world
from training.world import World
from upright.cli.parse.protocol import read_layout

MAKERS: Mapping[str, Maker] = {
    "line": line, "text": paragraph, "layout": clean_page, "worn layout": page, "table": table, "field": ask_field,
    "tool": save_answer, "nothing": nothing,
}  # fmt: skip
# As a MinerU client asks: (presence, frequency)
PENALTIES = {"line": (1.0, 0.05), "text": (1.0, 0.05), "nothing": (1.0, 0.05), "table": (1.0, 0.005)}
LONGEST = 3000  # tokens of an answer: one that has not ended by then runs in circles
START_SECONDS = 120


@dataclass(frozen=True)
class Question:
    """A conversation up to where it is the assistant's turn."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    turn: Turn  # what it is to say


@dataclass(frozen=True)
class Answer:
    text: str
    calls: tuple[Call, ...]
    ended: bool  # by itself


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--fonts", type=Path, default=FONTS)
    parser.add_argument("--texts", type=Path, default=TEXTS)
    parser.add_argument("--each", type=int, default=200, help="samples of each task; a quarter of it for pages")
    parser.add_argument("--only", default=",".join(MAKERS), help=f"some of {', '.join(MAKERS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("more", nargs="*")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # not before the server is stopped
    try:
        world = open_world(options, "held-out")
    except (FontsMissing, TextsMissing) as error:
        sys.exit(str(error))
    scores: dict[str, dict[str, float]] = {}
    with serving(options.model, options.more) as url, httpx.Client(base_url=url, timeout=600) as client:
        for task in options.only.split(","):
            count = max(1, options.each // 4) if "layout" in task else options.each
            questions = [asked for sample in drawn(task, world, options.seed, count) for asked in questions_of(sample)]
            with concurrent.futures.ThreadPoolExecutor(16) as threads:
                answers = list(threads.map(lambda question: ask(client, question, task), questions))  # noqa: B023
            scores[task] = score(task, questions, answers)
            told = ", ".join(f"{name} {value:.4f}" for name, value in scores[task].items())
            print(f"{task:8} {len(questions):5}  {told}", flush=True)
            for question, answer in wrong(questions, answers)[: options.show]:
                print(f"    expected {question.turn.text!r} {list(question.turn.calls) or ''}")
                print(f"    answered {answer.text!r} {list(answer.calls) or ''}")
    if options.json is not None:
        options.json.write_text(json.dumps(scores, indent=2) + "\n")


def drawn(task: str, world: World, seed: int, count: int) -> Iterator[Sample]:
    for index in range(count):
        yield MAKERS[task](random.Random(f"evaluation {seed} {task} {index}"), world)


def questions_of(sample: Sample) -> list[Question]:
    """One for each of the assistant's turns, after what was to be said before."""
    messages: list[dict[str, Any]] = []
    questions = []
    called = 0
    for turn in sample.turns:
        if turn.role == "assistant":
            questions.append(Question(list(messages), list(sample.tools), turn))
            calls = [
                {"id": f"call-{called + index}", "type": "function",
                 "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
                for index, call in enumerate(turn.calls)
            ]  # fmt: skip
            messages.append({"role": "assistant", "content": turn.text} | ({"tool_calls": calls} if calls else {}))
        elif turn.role == "tool":
            messages.append({"role": "tool", "tool_call_id": f"call-{called}", "content": turn.text})
            called += 1
        else:
            pictures = [{"type": "image_url", "image_url": {"url": data_url(picture)}} for picture in turn.pictures]
            text = {"type": "text", "text": turn.text}
            messages.append({"role": turn.role, "content": [*pictures, text] if pictures else turn.text})
    return questions


def ask(client: httpx.Client, question: Question, task: str) -> Answer:
    presence, frequency = PENALTIES.get(task, (0.0, 0.0))
    body: dict[str, Any] = {
        "model": "reader", "messages": question.messages, "temperature": 0, "max_tokens": LONGEST,
        "skip_special_tokens": False, "presence_penalty": presence, "frequency_penalty": frequency,
    }  # fmt: skip
    if question.tools:
        body["tools"] = question.tools
    response = client.post("/v1/chat/completions", json=body)
    response.raise_for_status()
    choice = response.json()["choices"][0]
    message = choice["message"]
    text, calls = parted((message.get("content") or "").removesuffix("<|im_end|>"))
    return Answer(text, calls, choice["finish_reason"] != "length")


_CALL = re.compile(r"<tool_call>\n(\{.*?\})\n</tool_call>\n?", re.DOTALL)


def parted(answer: str) -> tuple[str, tuple[Call, ...]]:
    """What is said, and the calls of tools in hermes' form behind it; what is not quite that form stays in the text."""
    calls = []
    for match in _CALL.finditer(answer):
        try:
            called = json.loads(match[1])
            calls.append(Call(called["name"], called["arguments"]))
        except (ValueError, KeyError):
            return answer, ()
    return _CALL.sub("", answer).rstrip("\n") if calls else answer, tuple(calls)


def _fits_the_tool(call: Call) -> bool:
    """It is a call of the tool that was offered, with what that asks for."""
    arguments: Any = call.arguments
    asked = isinstance(arguments, dict) and arguments.keys() == {"answer"} and isinstance(arguments["answer"], str)
    return asked and call.name == SAVE


def data_url(picture: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def score(task: str, questions: list[Question], answers: list[Answer]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for question, answer in zip(questions, answers, strict=True):
        turn = question.turn
        sums["ended"] += answer.ended
        match task:
            case "line" | "text":
                sums["wrong characters"] += edit_distance(answer.text, turn.text)
                sums["of characters"] += len(turn.text)
            case "layout" | "worn layout":
                found, wanted = read_layout(answer.text), read_layout(turn.text)
                sums["matched"] += matches(found, wanted)
                sums["of blocks"] += (len(found) + len(wanted)) / 2
            case "table":
                found_cells, wanted_cells = cells_of(answer.text), cells_of(turn.text)
                sums["right cells"] += sum(found_cells.get(place) == cell for place, cell in wanted_cells.items())
                sums["of cells"] += max(len(found_cells), len(wanted_cells))
            case "tool":
                sums["well-formed"] += "<tool_call>" not in answer.text and all(map(_fits_the_tool, answer.calls))
                sums["called where asked to"] += bool(answer.calls) == bool(turn.calls)
                sums["right"] += answer.calls == turn.calls and (bool(turn.calls) or answer.text == turn.text)
            case "field" | "nothing":
                sums["right"] += answer.text == turn.text
    count = len(questions)
    found_scores: dict[str, float] = {
        name: sums[name] / count for name in ("ended", "right", "well-formed", "called where asked to") if name in sums
    }
    for name, part, of in (
        ("characters wrong", "wrong characters", "of characters"), ("F1", "matched", "of blocks"),
        ("cells right", "right cells", "of cells"),
    ):  # fmt: skip
        if sums[of]:
            found_scores[name] = sums[part] / sums[of]
    return found_scores


def wrong(questions: list[Question], answers: list[Answer]) -> list[tuple[Question, Answer]]:
    pairs = zip(questions, answers, strict=True)
    return [pair for pair in pairs if (pair[1].text, pair[1].calls) != (pair[0].turn.text, pair[0].turn.calls)]


@contextmanager
def serving(model: Path, more: list[str]) -> Iterator[str]:
    """The address of a server of `model`, once it serves. Raises: RuntimeError."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "upright", "serve", str(model)]
    options = ["--port", str(port), "--served-model-name", "reader", *more]
    server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server of {model} does not serve (exit code {server.poll()})")
            time.sleep(0.2)
        yield url
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


if __name__ == "__main__":
    main()
