"""`upright parse`: pictures of pages to Markdown, through a server."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upright.cli.complaint import EXIT_FAILED, complain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from upright.cli.parse.asking import Page

URL = "http://127.0.0.1:8000"


def parse_command(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Pages: PNG, JPEG and others.")],
    url: Annotated[str, typer.Option("--url", metavar="URL", help="The server that reads them.")] = URL,
    api_key: Annotated[str, typer.Option(envvar="UPRIGHT_API_KEY", metavar="TEXT", help="Its key.")] = "",
    model: Annotated[str, typer.Option(metavar="NAME", help="Its model, if not the first that it lists.")] = "",
    furniture: Annotated[bool, typer.Option("--furniture", help="Print headers, footers, page numbers too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all blocks as JSON, boxes in thousandths.")] = False,
) -> None:
    """Read pictures of pages, with a server of the reader or of a model of MinerU's family.

    The text goes to standard output, as Markdown and in the order of reading, page by page; progress to the terminal.
    """
    from upright.cli.interruption import Interrupted, interruptible
    from upright.cli.parse.asking import NoAnswer
    from upright.cli.parse.pictures import UnreadablePicture, check_page

    found: list[Page] = []

    def take(page: Page) -> None:
        found.append(page)
        if not as_json:  # at once: what is read is not lost with what comes after it
            print("\n" * (len(found) > 1) + _text(pictures[len(found) - 1], page, furniture), flush=True)

    code = 0
    try:
        with interruptible():
            for path in pictures:
                check_page(path)
            asyncio.run(_read(pictures, url, api_key, model, take))
    except (UnreadablePicture, NoAnswer) as error:
        complain(str(error))
        code = EXIT_FAILED
    except Interrupted as stopped:
        code = stopped.exit_code
    if code and found:
        complain(f"pages read: {len(found)} of {len(pictures)}")
    if as_json and (found or not code):
        print(json.dumps([_as_json(path, page) for path, page in zip(pictures, found, strict=False)], indent=2))
    if code:
        sys.exit(code)


async def _read(pictures: Sequence[Path], url: str, key: str, model: str, take: Callable[[Page], None]) -> None:
    async for page in read_pages(pictures, url, key, model):
        take(page)


async def read_pages(
    pictures: Sequence[Path], url: str, key: str = "", model: str = "", console: Console | None = None
) -> AsyncIterator[Page]:
    """Pages one after the other, of which one is held at a time; the blocks of each at once.

    Raises: UnreadablePicture, NoAnswer.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from upright.cli.parse.asking import Server
    from upright.cli.parse.pictures import open_page

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = console or Console(stderr=True)
    async with Server(url, key, model) as server:
        for number, path in enumerate(pictures, 1):
            name = f"page {number} of {len(pictures)}"
            # one for each page: it is gone where the page is printed
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task(name, total=None)
                picture = await asyncio.to_thread(open_page, path)
                page = await server.page(picture, partial(_show, progress, task, name))
            yield page


def _show(progress: Progress, task: TaskID, name: str, done: int, total: int) -> None:
    what = f"{name}: {done} of {total} blocks read" if total else f"{name}: finding its blocks"
    progress.update(task, description=what, completed=done, total=total or None)


def _text(path: Path, page: Page, furniture: bool) -> str:
    from upright.cli.parse.markdown import markdown_of

    if not page.blocks:
        complain(f"{path}: the model finds nothing on it; unless it is empty, take a model that lays out pages")
    if page.cut_off:
        complain(f"{path}: the text of {len(page.cut_off)} blocks was cut off at the end of the model's context")
    return markdown_of(page.blocks, page.texts, furniture)


def _as_json(path: Path, page: Page) -> dict[str, Any]:
    return {
        "picture": str(path),
        "blocks": [
            {"type": block.kind, "box": block.box, "angle": block.angle, "text": page.texts.get(index)}
            for index, block in enumerate(page.blocks)
        ],
    }
