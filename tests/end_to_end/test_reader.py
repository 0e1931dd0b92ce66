"""The reader that comes with Upright reads what it ships with, through everything that people use it by.

What stands in the pictures is known (`upright.reader.SAMPLES`); no answer is held against one that the model gave
before, except that an engine's death may change nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from running import RunningServer, eventually, image_part, text_part, user

from training.evaluate import parted
from training.samples import Call
from training.scores import cells_of, edit_distance, matches
from upright import reader
from upright.cli.parse.asking import Page, Server
from upright.cli.parse.markdown import markdown_of
from upright.cli.parse.pictures import open_page
from upright.cli.parse.protocol import TABLES, Block

SAMPLES = json.loads(reader.SAMPLES.read_text())
BLOCKS = [Block(one["type"], tuple(one["box"])) for one in SAMPLES["page"]["blocks"]]
TEXTS = [one["text"] for one in SAMPLES["page"]["blocks"]]
QUESTIONS: dict[str, str] = {one["question"]: one["answer"] for one in SAMPLES["receipt"]["questions"]}
TOTAL = QUESTIONS["What is the total?"]
WRONG = 0.03  # of the page's characters, and of its cells, at most
MISSED = 1  # blocks that are not found, or found and not there, at most
KILLS = 2  # of the engine, while one page is read
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "save_answer",
        "description": "Save the answer.",
        "parameters": {
            "type": "object",
            "properties": {"answer": {"type": "string", "description": "The answer."}},
            "required": ["answer"],
        },
    },
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """By `upright serve` without a MODEL."""
    running = RunningServer(None, tmp_path_factory.mktemp("reader"))
    try:
        yield running.wait_until_ready()
    finally:
        running.end()


def read_page(server: RunningServer) -> Page:
    async def read() -> Page:
        async with Server(server.url) as asked:
            return await asked.page(open_page(reader.PAGE))

    return asyncio.run(read())


def wrong_share(read: str, printed: str) -> float:
    return edit_distance(read, printed) / len(printed)


def prose(blocks: list[Block], texts: list[str]) -> str:
    """All that is no table, in the order of reading."""
    return "\n".join(text for block, text in zip(blocks, texts, strict=True) if block.kind not in TABLES)


def check_page(page: Page) -> None:
    """It is what is printed there, nearly."""
    assert matches(page.blocks, BLOCKS) >= max(len(page.blocks), len(BLOCKS)) - MISSED, page.blocks
    texts = [page.texts.get(index, "") for index in range(len(page.blocks))]
    assert page.cut_off == []
    assert wrong_share(prose(page.blocks, texts), prose(BLOCKS, TEXTS)) <= WRONG, texts
    assert wrong_in_cells(page.blocks, texts) <= WRONG


def wrong_in_cells(blocks: list[Block], texts: list[str]) -> float:
    """The share of the table's characters."""
    (read,) = [cells_of(text) for block, text in zip(blocks, texts, strict=True) if block.kind in TABLES]
    (printed,) = [cells_of(text) for block, text in zip(BLOCKS, TEXTS, strict=True) if block.kind in TABLES]
    assert read.keys() == printed.keys()
    characters = sum(len(text) for _, text in printed.values())
    return sum(edit_distance(read[place][1], printed[place][1]) for place in printed) / characters


def receipt() -> dict[str, Any]:
    return image_part(reader.RECEIPT.read_bytes())


def ask(server: RunningServer, messages: list[dict[str, Any]], **more: Any) -> str:
    client: Any = server.openai
    answer = client.chat.completions.create(model=reader.NAME, messages=messages, temperature=0, **more)
    assert answer.choices[0].finish_reason == "stop"
    content: str = answer.choices[0].message.content
    return content


def test_it_is_served_under_its_name(served: RunningServer) -> None:
    assert [model.id for model in served.openai.models.list()] == [reader.NAME]


@pytest.fixture(scope="module")
def undisturbed(served: RunningServer) -> Page:
    return read_page(served)


def test_a_page_is_read_whatever_happens_to_the_engine(served: RunningServer, undisturbed: Page) -> None:
    check_page(undisturbed)

    before = served.status()["deaths"]
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(read_page, served)
        said = served.metrics().get("engine_decode_tokens_total", 0)
        for death in range(1, KILLS + 1):
            engine = at_work(served, said)
            assert not reading.done()
            os.kill(engine, signal.SIGKILL)
            eventually(lambda goal=before + death: served.status()["deaths"] == goal, "the engine dies")
            said = 0  # by the next one
        disturbed = reading.result()

    assert disturbed == undisturbed
    assert served.status()["deaths"] == before + KILLS
    assert served.status()["state"] == "ready"


def at_work(server: RunningServer, said: float) -> int:
    """The engine's process, when it has said something more of the page than it `said` before."""

    def working() -> bool:
        status = server.status()
        busy = status["state"] == "ready" and status["in_flight"]
        return bool(busy) and server.metrics().get("engine_decode_tokens_total", 0) > said + 10

    eventually(working, "the engine is at work")
    engine = server.engine_pid
    assert engine is not None
    return engine


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_a_receipt_says(served: RunningServer, question: str) -> None:
    assert ask(served, user(receipt(), text_part(question))) == QUESTIONS[question]


def test_a_call_of_a_tool_and_the_end_of_the_turn(served: RunningServer) -> None:
    messages = user(receipt(), text_part("Read the total and save it."))

    said = ask(served, messages, tools=[TOOL])

    assert parted(said) == ("", (Call("save_answer", {"answer": TOTAL}),))
    function = {"name": "save_answer", "arguments": json.dumps({"answer": TOTAL})}
    call = {"role": "assistant", "tool_calls": [{"id": "call-0", "type": "function", "function": function}]}
    result = {"role": "tool", "tool_call_id": "call-0", "content": "saved"}
    assert ask(served, [*messages, call, result], tools=[TOOL]) == f"Saved: {TOTAL}"


def test_the_demo_shows_it_all_and_goes_on_until_ctrl_c(tmp_path: Path) -> None:
    demo = RunningServer(None, tmp_path, "--no-standby", command="demo")
    try:
        eventually(lambda: "Ctrl-C stops it" in demo.log or demo.process.poll() is not None, "the demo has shown all")
        shown = demo.log
        printed = markdown_of(BLOCKS, dict(enumerate(TEXTS)))
        page = shown.split(" blocks:\n\n")[1].split("\n\nThe receipt ")[0]
        assert wrong_share(page, printed) <= WRONG, page
        assert f"\nWhat is the total?\n{TOTAL}\n" in shown
        check_pastes(shown, tmp_path)
        demo.signal(signal.SIGINT, group=True)
        assert demo.wait() == 0
        assert demo.left_behind() == []
        assert "Traceback" not in demo.log
    finally:
        demo.end()


def check_pastes(shown: str, directory: Path) -> None:
    """What is to be pasted works."""
    curl = re.search(r"^curl .*?^END$", shown, re.DOTALL | re.MULTILINE)
    python = re.search(r"^from base64 .*?^print\(.*?$", shown, re.DOTALL | re.MULTILINE)
    assert curl is not None and python is not None
    asked = next(question for question in QUESTIONS if question in curl[0])
    told = subprocess.run([sys.executable, "-c", python[0]], capture_output=True, text=True, check=True, cwd=directory)
    assert told.stdout.strip() == QUESTIONS[asked]
    if shutil.which("curl") is not None:
        answer = subprocess.run(["sh", "-c", curl[0]], capture_output=True, text=True, check=True, cwd=directory)
        assert json.loads(answer.stdout)["choices"][0]["message"]["content"] == QUESTIONS[asked]


def test_the_demo_may_end_by_itself(tmp_path: Path) -> None:
    demo = RunningServer(None, tmp_path, "--no-standby", "--once", command="demo")
    try:
        assert demo.wait() == 0
        assert "The receipt " in demo.log
        assert "curl" not in demo.log  # of a server that is gone when it is read
        assert "Traceback" not in demo.log
        assert demo.left_behind() == []
    finally:
        demo.end()
