"""`upright parse`: pictures of pages to Markdown, through a server."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upright.cli.complaint import EXIT_FAILED, complain

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console

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

    The text goes to standard output, as Markdown and in the order of reading; progress to the terminal.
    """
    from upright.cli.parse.asking import NoAnswer
    from upright.cli.parse.pictures import UnreadablePicture, open_page

    try:
        pages = [open_page(path) for path in pictures]
        found = asyncio.run(read_pages(pages, url, api_key, model))
    except (UnreadablePicture, NoAnswer) as error:
        complain(str(error))
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    if as_json:
        print(json.dumps([_as_json(path, page) for path, page in zip(pictures, found, strict=True)], indent=2))
    else:
        print("\n\n".join(_text(path, page, furniture) for path, page in zip(pictures, found, strict=True)))


async def read_pages(
    pages: list[Image.Image], url: str, key: str = "", model: str = "", console: Console | None = None
) -> list[Page]:
    """Pages one after the other, the blocks of each at once. Raises: NoAnswer."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from upright.cli.parse.asking import Server

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    found = []
    console = console or Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        async with Server(url, key, model) as server:
            for number, picture in enumerate(pages, 1):
                name = f"page {number} of {len(pages)}"
                task = progress.add_task(name, total=None)

                def tell(done: int, total: int, task: Any = task, name: str = name) -> None:
                    what = f"{name}: {done} of {total} blocks read" if total else f"{name}: finding its blocks"
                    progress.update(task, description=what, completed=done, total=total or None)

                found.append(await server.page(picture, tell))
                progress.remove_task(task)
    return found


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
