"""Requests in writing, ready to be pasted into a shell or into Python."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

CURL = """\
curl {url}/v1/chat/completions -H 'Content-Type: application/json'{header} -d @- <<END
{{"model": {model}, "temperature": 0, "messages": [{{"role": "user", "content": [
  {{"type": "image_url", "image_url": {{"url": "data:image/png;base64,$(base64 < {picture} | tr -d '\\n')"}}}},
  {{"type": "text", "text": {question}}}]}}]}}
END"""

PYTHON = """\
from base64 import b64encode
from pathlib import Path

from openai import OpenAI

client = OpenAI(base_url={url!r}, api_key={key!r})
picture = b64encode(Path({picture!r}).read_bytes()).decode()
content = [
    {{"type": "image_url", "image_url": {{"url": f"data:image/png;base64,{{picture}}"}}}},
    {{"type": "text", "text": {question!r}}},
]
messages = [{{"role": "user", "content": content}}]
answer = client.chat.completions.create(model={model!r}, messages=messages, temperature=0)
print(answer.choices[0].message.content)"""


KEY = "YOUR KEY"  # the real one is not for a screen


def curl_command(url: str, model: str, picture: Path, question: str, keyed: bool = False) -> str:
    """The picture goes in by a here-document: on a command line there is no room for a large one.

    `keyed`: the server wants a key.
    """
    quoted, header = shlex.quote(str(picture)), f" -H 'Authorization: Bearer {KEY}'" if keyed else ""
    return CURL.format(
        url=url, header=header, model=json.dumps(model), picture=quoted, question=json.dumps(question)
    )  # fmt: skip


def python_lines(url: str, model: str, picture: Path, question: str, keyed: bool = False) -> str:
    key = KEY if keyed else "none"
    return PYTHON.format(url=f"{url}/v1", key=key, model=model, picture=str(picture), question=question)


def parse_line(url: str, keyed: bool = False) -> str:
    """With the program that this is, which need not be on the path of the shell that it is pasted into."""
    program = Path(sys.argv[0]).absolute()
    words = [sys.executable, "-m", "upright"] if program.name == "__main__.py" else [str(program)]
    return f"{shlex.join(words)} parse PICTURE --url {url}{f' --api-key {shlex.quote(KEY)}' if keyed else ''}"
