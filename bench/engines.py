"""Starts and stops the servers that are compared, and asks them for text. Linux only.

An engine is a context manager: entering starts it and waits until it serves, leaving stops it and all its processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

HERE = Path(__file__).resolve().parent
START_LIMIT = 300.0  # seconds
CONTEXT = 2048  # tokens of one sequence
SEQUENCES = 8


@dataclass(frozen=True)
class Setting:
    """What is the same for every engine."""

    model: Path  # Hugging Face directory
    gguf: Path  # the same weights for llama.cpp
    rivals: Path  # environments made by rivals/setup.sh
    threads: int
    logs: Path


@dataclass(frozen=True)
class Answer:
    """One or several completions asked for at the same time. Tokens are sums over them."""

    seconds: float
    prompt_tokens: int
    output_tokens: int


class Engine:
    """A process in a session of its own, with its output in a file."""

    name = ""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.start_seconds = 0.0
        self.process: subprocess.Popen[str] | None = None
        self.log: IO[str] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        threads = str(self.setting.threads)
        return os.environ | {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

    def wait_ready(self) -> None:
        raise NotImplementedError

    def complete(self, prompts: Sequence[str], max_tokens: int) -> Answer:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.log = (self.setting.logs / f"{self.name}.log").open("w")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            self.command(),
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if isinstance(self, Transformers) else self.log,
            stderr=self.log,
            start_new_session=True,
            text=True,
        )
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.start_seconds = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        assert self.log is not None
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what the server left behind, if anything
        self.process.wait()
        self.log.close()

    def check_alive(self, began: float) -> None:
        assert self.process is not None
        log = self.setting.logs / f"{self.name}.log"
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with code {self.process.returncode} while starting; see {log}")
        if time.perf_counter() - began > START_LIMIT:
            raise RuntimeError(f"{self.name} does not serve after {START_LIMIT:.0f} s; see {log}")


class Server(Engine):
    """An engine behind the OpenAI API."""

    extra_body: dict[str, Any] = {}  # noqa: RUF012 - read only

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.pool = ThreadPoolExecutor(SEQUENCES)

    def wait_ready(self) -> None:
        began = time.perf_counter()
        while True:
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=2) as response:
                    if response.status == 200:
                        break
            except (urllib.error.URLError, OSError):
                self.check_alive(began)
            time.sleep(0.02)
        with urllib.request.urlopen(self.url + "/v1/models", timeout=10) as response:
            self.model = json.load(response)["data"][0]["id"]

    def one(self, prompt: str, max_tokens: int) -> dict[str, int]:
        body = {"model": self.model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
        request = urllib.request.Request(
            self.url + "/v1/completions",
            json.dumps(body | self.extra_body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as response:
            usage: dict[str, int] = json.load(response)["usage"]
        if usage["completion_tokens"] != max_tokens:
            raise RuntimeError(f"{self.name} gave {usage['completion_tokens']} tokens instead of {max_tokens}")
        return usage

    def complete(self, prompts: Sequence[str], max_tokens: int) -> Answer:
        began = time.perf_counter()
        usages = list(self.pool.map(lambda prompt: self.one(prompt, max_tokens), prompts))
        seconds = time.perf_counter() - began
        return Answer(seconds, sum(u["prompt_tokens"] for u in usages), sum(u["completion_tokens"] for u in usages))


class Upright(Server):
    name = "upright"

    def command(self) -> list[str]:
        setting = self.setting
        program = str(Path(sys.executable).with_name("upright"))
        options = f"--port {self.port} --device cpu --dtype float32 --threads {setting.threads}"
        limits = f"--max-model-len {CONTEXT} --max-num-seqs {SEQUENCES}"
        return [program, "serve", str(setting.model), *options.split(), *limits.split()]


class Vllm(Server):
    name = "vllm"

    def command(self) -> list[str]:
        setting = self.setting
        options = f"--port {self.port} --host 127.0.0.1 --dtype float32"
        limits = f"--max-model-len {CONTEXT} --max-num-seqs {SEQUENCES}"
        program = str(setting.rivals / "vllm/bin/vllm")
        return [program, "serve", str(setting.model), *options.split(), *limits.split()]

    def environment(self) -> dict[str, str]:
        cores = f"0-{self.setting.threads - 1}"
        return super().environment() | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": cores}


class VllmEager(Vllm):
    name = "vllm-eager"

    def command(self) -> list[str]:
        return [*super().command(), "--enforce-eager"]


class LlamaCpp(Server):
    name = "llama.cpp"
    extra_body = {"cache_prompt": False}  # noqa: RUF012 - read only

    def command(self) -> list[str]:
        setting = self.setting
        numbers = [str(number) for number in (self.port, setting.threads, CONTEXT, SEQUENCES)]
        python = str(setting.rivals / "llamacpp/bin/python")
        return [python, str(HERE / "rivals/llamacpp_server.py"), str(setting.gguf), *numbers]


class Transformers(Engine):
    """No server: `generate` in a process, asked through its standard input."""

    name = "transformers"

    def command(self) -> list[str]:
        script = str(HERE / "rivals/transformers_worker.py")
        return [sys.executable, script, str(self.setting.model), str(self.setting.threads)]

    def wait_ready(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError(f"transformers ended while starting; see {self.setting.logs / self.name}.log")

    def complete(self, prompts: Sequence[str], max_tokens: int) -> Answer:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"prompts": list(prompts), "max_tokens": max_tokens}) + "\n")
        self.process.stdin.flush()
        return Answer(**json.loads(self.process.stdout.readline()))


ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (Upright, Transformers, Vllm, VllmEager, LlamaCpp)
}
