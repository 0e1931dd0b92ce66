"""A running server as tests see it, and what its scripted engine answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
import openai
from fake_service import FakeService, Script

from upright.chat.context import ChatContext
from upright.messages import Request

CONTEXT_LENGTH = 4096
ANSWER = "The answer is 42, and 不倒翁 rights itself 🎉."


@dataclass(eq=False)
class Server:
    url: str
    service: FakeService
    context: ChatContext

    @cached_property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    @cached_property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=30)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, **options)

    def is_empty(self) -> bool:
        """Whether the journal has been emptied; what a disconnect triggers takes a moment."""
        deadline = time.monotonic() + 20
        while len(self.service.journal) and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(self.service.journal) == 0


def answer_script(context: ChatContext, text: str = ANSWER) -> Script:
    """One token a step, then the end token."""
    ids = context.tokenizer.encode(text, add_special_tokens=False)

    def script(request: Request) -> list[Any]:
        return [[token] for token in (*ids, context.model.eos_token_ids[0])]

    return script
