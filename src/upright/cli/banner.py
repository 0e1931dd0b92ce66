"""What a person sees at start: progress while loading, then one banner with everything that was chosen."""

from __future__ import annotations

import logging
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from upright import __version__
from upright.chat.context import ChatContext
from upright.logs import zone_line
from upright.messages import Loading, Ready
from upright.plan.memory import available_memory, gib
from upright.plan.plan import Plan

log = logging.getLogger(__name__)

LOGGED_SHARE = 0.25  # without a terminal, progress is a log line at every quarter

FIRST_STAGE = "importing"  # of an engine
STAGES = {
    "download": "downloading the model",
    FIRST_STAGE: "starting the engine",
    "weights": "loading weights",
    "memory": "setting up the KV cache",
    "first step": "running the first step",
}


class LoadingDisplay:
    """Bars on a terminal, a few log lines elsewhere. Use as a context manager; `show` may be called from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<26}"), BarColumn(), TextColumn("{task.fields[amount]}"), TimeElapsedColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._bars = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._logged: dict[str, float] = {}

    def __enter__(self) -> LoadingDisplay:
        if self._bars:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bars away; what is shown after this is only logged."""
        if self._bars:  # elsewhere it would leave an empty line
            self._progress.stop()
            self._bars = False

    def show(self, loading: Loading) -> None:
        text = STAGES.get(loading.stage, loading.stage)
        amount = f"{gib(loading.done)} of {gib(loading.total)}" if loading.total else ""
        if not self._bars:
            self._log(loading, f"{text}: {amount}" if amount else text)
            return
        if loading.stage not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, visible=False)
            self._tasks[loading.stage] = self._progress.add_task(text, total=loading.total or None, amount=amount)
        task = self._tasks[loading.stage]
        self._progress.update(task, completed=loading.done, total=loading.total or None, amount=amount)

    def _log(self, loading: Loading, line: str) -> None:
        if loading.stage == FIRST_STAGE:  # another engine, in the place of one that has ended
            self._logged.clear()
        share = loading.done / loading.total if loading.total else 0.0
        if loading.stage in self._logged and share < min(1.0, self._logged[loading.stage] + LOGGED_SHARE):
            return
        if self._logged.get(loading.stage) == 1.0:
            return
        self._logged[loading.stage] = share
        log.info("%s", line)


def banner(ready: Ready, plan: Plan, context: ChatContext, address: str, seconds: float) -> Table:
    """Model, device, dtype, attention and why, memory by part, context, concurrency, address, time zone."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), title=f"Upright {__version__} is ready",
                  title_justify="left", title_style="bold")  # fmt: skip
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("model", f"{', '.join(context.names)} ({context.model.architecture})")
    threads = f", {ready.threads} thread{'s' if ready.threads > 1 else ''}" if ready.device == "cpu" else ""
    table.add_row("device", f"{ready.device}: {ready.device_name}{threads}")
    wide = f" (a wider range in {len(ready.wide_layers)} layers, which overflow it)" if ready.wide_layers else ""
    table.add_row("dtype", ready.dtype + wide)
    for choice in ready.attention:
        reasons = "; ".join(f"not {name}: {reason}" for name, reason in choice.declined.items())
        table.add_row(f"attention, {choice.use}", f"{choice.name} ({reasons or 'first choice, nothing declined'})")
    for part in ready.memory:
        table.add_row(f"memory, {part.name}", gib(part.bytes))
    if ready.device == "cpu":
        cache = next((part.bytes for part in ready.memory if part.name == "KV cache"), 0)
        left = max(0, available_memory() - cache)  # the cache takes its memory only as it fills
        table.add_row("memory, left when the cache is full", gib(left))
    tokens = ready.blocks * ready.block_size
    table.add_row("KV cache", f"{tokens} tokens in {ready.blocks} blocks of {ready.block_size}")
    table.add_row("context", f"{ready.max_model_len} tokens of prompt and answer")
    full = tokens // ready.max_model_len
    table.add_row("concurrency", f"up to {ready.max_num_seqs} sequences; {full} at full context, then preemption")
    if plan.image_tokens:
        table.add_row("images", f"up to {plan.image_tokens} tokens each")
    for note in plan.notes:
        table.add_row("chosen for you", note)
    table.add_row("time zone", zone_line())
    table.add_row("ready after", f"{seconds:.1f} s")
    table.add_row("address", f"{address}/v1")
    return table
