"""A server that really runs: the console script in a process of its own, and its engine in another."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import psutil
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

UPRIGHT = str(Path(sys.executable).with_name("upright"))
GUARD = 300.0  # seconds after which a test that hangs is failed; a dozen recoveries in a row fit, on a slow machine
MARK = "TEST_SERVER_MARK"  # environment variable that tells which processes belong to which server
CONTEXT = 4096  # tokens, of the servers that most tests use


def eventually(check: Callable[[], Any], what: str) -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + GUARD
    while not (found := check()):
        assert time.monotonic() < deadline, f"it never came about that {what}"
        time.sleep(0.01)
    return found


def processes(mark: str) -> list[psutil.Process]:
    """Every living process that was started, directly or not, under this mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


class RunningServer:
    """`upright serve`, from its start until nothing of it is left."""

    def __init__(
        self, model: Path | None, directory: Path, *options: str, faults: bool = False, command: str = "serve",
        **environment: str,
    ) -> None:  # fmt: skip
        """`faults`: `ask_for` can make it fail. Its state is kept in `directory`, where another one may go on with it.

        Without a model it is the reader that comes with Upright. `command` may be another that serves. Environment
        variables of the server are given by name.
        """
        self.mark = uuid.uuid4().hex
        self.directory = directory
        self.temporary = directory / "tmp"
        self.state = directory / "state"
        self._faults = directory / "faults"
        for place in (self.temporary, self.state, self._faults):
            place.mkdir(exist_ok=True)
        self.log_file = directory / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    UPRIGHT,
                    command,
                    *((str(model), "--served-model-name", "tiny") if model is not None else ()),
                    "--port",
                    "0",
                    "--threads",
                    "1",
                    "--state-dir",
                    str(self.state),
                    *(("--test-faults", str(self._faults)) if faults else ()),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {MARK: self.mark, "TMPDIR": str(self.temporary)} | environment,
                start_new_session=True,  # so that a signal to its group, as a terminal sends it, spares the tests
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def wait_until_ready(self) -> RunningServer:
        def ready() -> bool:
            assert self.process.poll() is None, self.log
            return "address " in self.log

        eventually(ready, "the server is ready")
        return self

    @cached_property
    def url(self) -> str:
        found = re.search(r"^address +(http://\S+)/v1", self.log, re.MULTILINE)
        assert found is not None, self.log
        return found[1]

    @cached_property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=GUARD)

    @cached_property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=GUARD)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/status").json()
        return found

    @property
    def engine_pid(self) -> int | None:
        """None while there is no engine."""
        engines = self.status()["engines"]
        assert len(engines) < 2, "two engines at the same time"
        return engines[0]["pid"] if engines else None

    def ask_for(self, fault: str, content: bytes = b"") -> None:
        """Have the engine fail, as `upright.engine.faults` has it: `step-segv`, `load-exit`, `poison.json`."""
        aside = self._faults / "aside"
        aside.write_bytes(content)
        aside.rename(self._faults / fault)

    def waiting_faults(self) -> list[str]:
        """Faults that were asked for and have not struck."""
        return sorted(file.name for file in self._faults.iterdir())

    def break_engine(self) -> None:
        """Kill the engine, and have the next one get stuck while it loads: a recovery that lasts. Needs `faults`."""
        engine = self.engine_pid
        assert engine is not None
        self.ask_for("load-spin")
        os.kill(engine, signal.SIGKILL)
        eventually(lambda: not self.waiting_faults(), "the next engine is stuck")

    def mend_engine(self) -> None:
        """End what `break_engine` began: the engine that is stuck dies, and the one after it serves."""
        engine = self.engine_pid
        assert engine is not None
        os.kill(engine, signal.SIGKILL)

    def metrics(self) -> dict[str, float]:
        """By name without the prefix; labels follow the name: `requests_total abort`."""
        return {
            " ".join((sample.name.removeprefix("upright:"), *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(self.http.get("/metrics").text)
            for sample in family.samples
        }

    def health(self) -> int:
        return self.http.get("/health").status_code

    def is_idle(self) -> bool:
        """Whether nothing runs or waits, and no block is held. An engine tells its figures from its first step on."""
        figures = self.metrics()
        return all(figures.get(name, 0) == 0 for name in ("num_requests_running", "num_requests_waiting",
                                                   "kv_cache_blocks_used"))  # fmt: skip

    def completion(self, max_tokens: int, prompt: str = "A doll that rights itself", **more: Any) -> dict[str, Any]:
        """The body of a request that runs for exactly so many tokens."""
        return {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True} | more

    def complete(self, max_tokens: int = 8, **more: Any) -> str:
        answer = self.http.post("/v1/completions", json=self.completion(max_tokens, **more))
        assert answer.status_code == 200, answer.text
        text: str = answer.json()["choices"][0]["text"]
        return text

    def signal(self, number: signal.Signals, group: bool = False) -> None:
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(GUARD)

    def left_behind(self) -> list[str]:
        """Processes and temporary files that are still there; to be empty once the server has ended."""
        return [str(process) for process in processes(self.mark)] + [str(path) for path in self.temporary.iterdir()]

    def end(self) -> None:
        """Whatever state it is in: nothing of it runs after this."""
        for _ in range(150):  # the first signal asks it to drain, the second one to hurry; two at once may count as one
            if self.process.poll() is not None:
                break
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        else:
            self.process.kill()
            self.process.wait()
        for process in processes(self.mark):
            process.kill()


@dataclass(frozen=True)
class Stream:
    """What a client of a stream got. `events` are the payloads in order; `[DONE]` is not one of them."""

    status: int
    events: list[dict[str, Any]]
    done: bool

    @property
    def error(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.events[-1].get("error")
        return found

    @property
    def text(self) -> str:
        return "".join(self.texts.values())

    @property
    def texts(self) -> dict[int, str]:
        """By choice."""
        found: dict[int, str] = {}
        for event in self.events:
            for choice in event.get("choices", ()):
                found[choice["index"]] = found.get(choice["index"], "") + (choice.get("text") or "")
        return found


class Clients:
    """Requests in flight at the same time, each in a thread of its own."""

    def __init__(self, server: RunningServer, most: int = 16) -> None:
        self._server = server
        self._threads = ThreadPoolExecutor(most)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def stream(self, body: dict[str, Any]) -> Future[Stream]:
        """Returns once the first token has come."""
        opened: Future[None] = Future()
        stream = self._threads.submit(self._stream, body, opened)
        opened.result(GUARD)
        return stream

    def post(self, body: dict[str, Any], path: str = "/v1/completions") -> Future[httpx.Response]:
        return self._threads.submit(lambda: httpx.post(self._server.url + path, json=body, timeout=GUARD))

    def _stream(self, body: dict[str, Any], opened: Future[None]) -> Stream:
        try:
            url = f"{self._server.url}/v1/completions"
            with httpx.stream("POST", url, json=body | {"stream": True}, timeout=GUARD) as answer:
                opened.set_result(None)  # the headers wait for the first token
                payloads = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        except Exception as error:
            if not opened.done():
                opened.set_exception(error)
            raise
        done = payloads[-1:] == ["[DONE]"]
        return Stream(answer.status_code, [json.loads(one) for one in payloads[: -1 if done else None]], done)


def picture(seed: int, width: int, height: int, kind: str = "PNG") -> bytes:
    """A small image file with something to see in it."""
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    content = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(content, kind)
    return content.getvalue()


def image_part(content: bytes) -> dict[str, Any]:
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]
