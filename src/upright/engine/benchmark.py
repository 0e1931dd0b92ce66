"""Measures an engine in this process, without HTTP: `python -m upright.engine.benchmark`, started by `upright bench`.

A `Job` comes on standard input as JSON, a `Report` goes out on each line of standard output.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from upright.engine.bench_cases import Case, Failed, Job, Peaks, Report, Row, Skipped, Stage, picture
from upright.engine.bench_work import CaseWork
from upright.engine.lifeline import die_with_parent
from upright.engine.process import DECODING_POLL_MS
from upright.messages import EngineOptions, Image, Loading, Request, SamplingParams

if TYPE_CHECKING:
    import torch

    from upright.engine.core import EngineCore

Tell = Callable[[Report], None]

FIRST_TOKEN_ID = 1000  # those before are often special
PICTURES = 64  # different ones in a case; those after repeat them under another name
COPY_BYTES = {"cuda": 2**28, "cpu": 2**26}  # more than any cache holds
MATRIX_SIDE = {"cuda": 8192, "cpu": 512}
PEAK_ROUNDS = {"cuda": 10, "cpu": 2}


def main() -> None:
    die_with_parent()  # an engine that nobody waits for holds a GPU
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    out = os.fdopen(os.dup(1), "wb", buffering=0)  # reports; whatever else writes to standard output joins the errors
    os.dup2(2, 1)

    def tell(report: Report) -> None:
        out.write(msgspec.json.encode(report) + b"\n")

    with suppress(BrokenPipeError):
        run(job, tell)


def run(job: Job, tell: Tell) -> None:
    """Start the engine of `job` and measure its cases."""
    tell(Stage("importing"))
    from upright.engine.start_error import StartError
    from upright.engine.startup import start_engine

    stages: set[str] = set()

    def loading(progress: Loading) -> None:
        if progress.stage not in stages:
            stages.add(progress.stage)
            tell(Stage(progress.stage))

    try:
        core, ready = start_engine(job.options, loading)
    except StartError as error:
        tell(Failed(f"{error}; {error.advice}" if error.advice else str(error)))
        return
    while core.runner.idle():  # what a server would do before anybody comes
        pass
    tell(Stage("device"))
    model = core.runner.model
    copy, products = _peaks(model.device, model.dtype)
    parts = {part.name: part.bytes for part in ready.memory}
    tell(Peaks(ready.device_name, ready.dtype, copy, products, ready.load_seconds, parts))
    bench = Bench(core, job.options)
    for case in job.cases:
        reason = bench.declines(case)
        if reason is not None:
            tell(Skipped(case.name, reason))
            continue
        tell(Stage(case.name))
        bench.measure(msgspec.structs.replace(case, requests=min(case.requests, 4), output=min(case.output, 4)))
        tell(bench.measure(case))
    core.close()


class Bench:
    """One engine and the requests of cases, all of them different."""

    def __init__(self, core: EngineCore, options: EngineOptions) -> None:
        self._core = core
        self._config = core.runner.model.config
        self._longest = options.max_model_len
        self._work = CaseWork(self._config, options.dtype)
        self._random = random.Random(0)
        self._sent = 0

    def declines(self, case: Case) -> str | None:
        """Why the case cannot be measured here; None if it can."""
        if case.image is not None and self._config.vision is None:
            return "the model reads no images"
        needed = case.prompt + case.output + (self._grid(case)[2] if case.image is not None else 0)
        if needed > self._longest:
            return f"it needs {needed} tokens of context, and --max-model-len is {self._longest}"
        return None

    def measure(self, case: Case) -> Row:
        core = self._core
        requests = self._requests(case)
        lengths = {request.id: len(request.prompt) for request in requests}
        steps_before = core.stats().steps
        first: dict[str, float] = {}
        ended, tokens = 0, 0
        whole: list[tuple[float, int]] = []  # of steps that gave every request a token: seconds, and contexts together
        contexts = sum(lengths.values())
        began = last = time.perf_counter()
        for request in requests:
            core.submit(request)
        while ended < len(requests):
            if core.only_decoding_images:
                time.sleep(DECODING_POLL_MS / 1000)
            outputs = core.step()
            now = time.perf_counter()
            plain = len(outputs.plain.ids) if outputs.plain is not None else 0
            for output in outputs.several:
                if output.fault is not None:
                    raise RuntimeError(f"{case.name}: {output.fault.message}")
                first.setdefault(output.id, now)
                ended += output.finish is not None
            if plain == len(requests):
                whole.append((now - last, contexts + tokens))
            tokens += plain + sum(len(output.tokens) for output in outputs.several)
            last = now
        while core.has_work:  # a step that is in flight, for requests that have ended
            core.step()
        step = statistics.median(seconds for seconds, _ in whole) if whole else 0.0
        read = self._work.decode_bytes(statistics.mean(held for _, held in whole)) if whole else 0.0
        grid = self._grid(case)[:2] if case.image is not None else None
        return Row(
            name=case.name,
            requests=len(requests),
            seconds=last - began,
            first=max(first.values()) - began,
            prompt_tokens=sum(lengths.values()),
            output_tokens=tokens,
            steps=core.stats().steps - steps_before,
            decode_step=step,
            decode_bytes=read,
            flop=sum(self._work.flop(length, case.output, grid) for length in lengths.values()),
        )

    def _requests(self, case: Case) -> list[Request]:
        params = SamplingParams(seed=0, max_tokens=case.output, temperature=0.0)
        pictures = (
            [picture(case.image, self._sent + i) for i in range(min(case.requests, PICTURES))] if case.image else []
        )
        requests = []
        for index in range(case.requests):
            prompt = self._tokens(case.prompt)
            images: tuple[Image, ...] = ()
            if case.image is not None:
                height, width, tokens = self._grid(case)
                key = (self._sent + index).to_bytes(16, "little")
                images = (Image(pictures[index % len(pictures)], key, 1, height, width, tokens),)
                placeholder = self._config.image_token_id or 0
                prompt = [*prompt[:1], *[placeholder] * tokens, *prompt[1:]]
            requests.append(Request(id=f"bench-{self._sent + index}", prompt=prompt, params=params, images=images))
        self._sent += case.requests
        return requests

    def _tokens(self, count: int) -> list[int]:
        most = self._config.decoder.vocab_size
        least = min(FIRST_TOKEN_ID, most // 2)
        return [self._random.randrange(least, most) for _ in range(count)]

    def _grid(self, case: Case) -> tuple[int, int, int]:
        """Of the case's image: height and width in patches, and tokens."""
        from upright.models.image_grid import image_grid

        vision, processing = self._config.vision, self._config.image
        assert case.image is not None and vision is not None and processing is not None
        grid = image_grid(case.image[1], case.image[0], vision, processing)
        return grid.grid_height, grid.grid_width, grid.tokens


def _peaks(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Bytes a second of a copy or of a sum, and FLOP a second of a product: what nothing on this device goes beyond.

    A GPU that also writes reads more slowly than one that only reads, as a step of decodes does.
    """
    import torch

    rounds = PEAK_ROUNDS[device.type]

    def best(work: Callable[[], object]) -> float:
        for _ in range(2):
            work()
        _wait(device)
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            for _ in range(rounds):
                work()
            _wait(device)
            seconds.append((time.perf_counter() - began) / rounds)
        return min(seconds)

    with torch.inference_mode():
        source = torch.ones(COPY_BYTES[device.type] // 4, dtype=torch.float32, device=device)
        target = torch.empty_like(source)
        moved = max(2 * source.nbytes / best(lambda: target.copy_(source)), source.nbytes / best(source.sum))
        side = MATRIX_SIDE[device.type]
        left = torch.randn(side, side, device=device).to(dtype)
        product = torch.empty_like(left)
        products = 2 * side**3 / best(lambda: torch.mm(left, left, out=product))
    return moved, products


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
