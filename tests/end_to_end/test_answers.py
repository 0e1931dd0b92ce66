"""Real answers through HTTP: the same as transformers', the same alone and in company, streamed or whole."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from running import CONTEXT, Clients, RunningServer, eventually, image_part, picture, text_part, user

WIDE, TALL = picture(1, 150, 60), picture(2, 70, 210)
QUESTION = user(text_part("What does the doll do when it is pushed?"))
WITH_IMAGES = user(text_part("Compare"), image_part(WIDE), text_part("with"), image_part(TALL), text_part("now."))
CONVERSATION = [
    {"role": "system", "content": "You answer briefly."},
    {"role": "user", "content": [image_part(WIDE), text_part("What is this?")]},
    {"role": "assistant", "content": "A doll."},
    {"role": "user", "content": "What does it do?"},
]
SEEDED = {"temperature": 0.9, "top_p": 0.95, "seed": 1234, "max_tokens": 12, "messages": QUESTION}


@cache
def reference(directory: Path) -> Any:
    import torch
    import transformers

    kind = transformers.Qwen2VLForConditionalGeneration
    return kind.from_pretrained(directory, dtype=torch.float32).eval()


def reference_answer(
    directory: Path, messages: list[dict[str, Any]], images: list[bytes], tokens: int
) -> tuple[list[int], list[int]]:
    """Prompt ids and greedy output ids, with nothing of ours in between."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs: dict[str, Any] = {}
    if images:
        processor = transformers.AutoImageProcessor.from_pretrained(directory)
        inputs = dict(processor([Image.open(io.BytesIO(one)) for one in images], return_tensors="pt"))
        for grid in inputs["image_grid_thw"]:
            text = text.replace("<|image_pad|>", "<|pad|>" * (int(grid.prod()) // 4), 1)
        text = text.replace("<|pad|>", "<|image_pad|>")
    ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
    if images:
        inputs["mm_token_type_ids"] = (ids == 151655).long()
    with torch.inference_mode():
        output = reference(directory).generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), **inputs, do_sample=False, max_new_tokens=tokens,
            min_new_tokens=tokens, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    prompt: list[int] = ids[0].tolist()
    return prompt, output[0, len(prompt) :].tolist()


def chat(server: RunningServer, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    body = {"messages": messages, "temperature": 0, "max_tokens": 12, "ignore_eos": True} | more
    answer = server.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("messages", "images"),
    [(QUESTION, []), (WITH_IMAGES, [WIDE, TALL]), (CONVERSATION, [WIDE])],
    ids=["text", "two-images", "conversation"],
)
def test_greedy_answers_are_those_of_transformers(
    server: RunningServer, model: Path, messages: list[dict[str, Any]], images: list[bytes]
) -> None:
    plain = [
        {"role": message["role"], "content": [
            {"type": "image"} if part["type"] == "image_url" else part for part in message["content"]
        ] if isinstance(message["content"], list) else message["content"]}
        for message in messages
    ]  # fmt: skip
    prompt, output = reference_answer(model, plain, images, 16)

    answer = chat(server, messages, max_tokens=16, return_token_ids=True)

    assert server.http.post("/tokenize", json={"messages": messages}).json()["tokens"] == prompt
    assert answer["choices"][0]["token_ids"] == output
    assert answer["usage"]["prompt_tokens"] == len(prompt)
    assert answer["usage"]["completion_tokens"] == 16
    text = server.http.post("/detokenize", json={"tokens": output}).json()["prompt"]
    assert answer["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("messages", [QUESTION, WITH_IMAGES, CONVERSATION], ids=["text", "images", "conversation"])
def test_the_openai_client_streams_what_it_gets_whole(server: RunningServer, messages: Any) -> None:
    create = server.openai.chat.completions.create
    options: Any = {"model": "tiny", "messages": messages, "max_tokens": 12, "temperature": 0}
    whole = create(**options)
    chunks = list(create(**options, stream=True, stream_options={"include_usage": True}))

    assert whole.choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 12


def test_completions_with_the_openai_client(server: RunningServer) -> None:
    create = server.openai.completions.create
    whole = create(model="tiny", prompt=["One doll", "Two dolls"], max_tokens=6, temperature=0)
    streamed = ["", ""]
    for chunk in create(model="tiny", prompt=["One doll", "Two dolls"], max_tokens=6, temperature=0, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text

    assert [choice.text for choice in whole.choices] == streamed
    assert streamed[0] != streamed[1]


def test_a_seed_gives_the_same_answers_again(server: RunningServer) -> None:
    first, again = (
        [choice["message"]["content"] for choice in chat(server, **SEEDED, n=2)["choices"]] for _ in range(2)
    )
    assert first == again
    assert first[0] != first[1]
    assert chat(server, **SEEDED | {"seed": 4321})["choices"][0]["message"]["content"] not in first


def test_a_seeded_answer_is_the_same_alone_and_in_company(server: RunningServer) -> None:
    alone = chat(server, **SEEDED)["choices"][0]["message"]["content"]
    with Clients(server) as clients:
        others = [
            clients.post(server.completion(100, f"Story {n}:", temperature=float(n == 0), seed=n)) for n in range(8)
        ]
        eventually(lambda: server.metrics()["num_requests_running"] == 8, "eight others run")
        together = chat(server, **SEEDED)["choices"][0]["message"]["content"]
        assert all(other.result().status_code == 200 for other in others)
    assert together == alone


def test_logprobs(server: RunningServer) -> None:
    content = chat(server, QUESTION, max_tokens=3, logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    assert len(content) == 3
    for token in content:  # greedy takes the likeliest, which has the first place
        assert token["token"] == token["top_logprobs"][0]["token"]
        assert 0 >= token["logprob"] == token["top_logprobs"][0]["logprob"] >= token["top_logprobs"][1]["logprob"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_answer_and_the_work(server: RunningServer, stream: bool) -> None:
    whole = server.complete(24)
    stop = whole[len(whole) // 2 :][:3]
    before = whole[: whole.index(stop)]
    body = server.completion(3000, stop=[stop])
    if stream:
        with Clients(server) as clients:
            result = clients.stream(body).result()
        assert result.done
        assert result.text == before
        assert [choice["stop_reason"] for choice in result.events[-1]["choices"]] == [stop]
    else:
        choice = server.http.post("/v1/completions", json=body).json()["choices"][0]
        assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == (before, "stop", stop)
    eventually(server.is_idle, "the engine stops working on it")


def test_without_max_tokens_an_answer_fills_the_context(server: RunningServer) -> None:
    body = {"prompt": [1000] * (CONTEXT - 10), "ignore_eos": True, "temperature": 0}
    answer = server.http.post("/v1/completions", json=body).json()
    assert answer["usage"]["completion_tokens"] == 10
    assert answer["choices"][0]["finish_reason"] == "length"


def test_what_the_server_says_of_itself(server: RunningServer) -> None:
    from upright import __version__

    [listed] = server.openai.models.list().data
    assert (listed.id, listed.model_dump()["max_model_len"]) == ("tiny", CONTEXT)
    assert server.http.get("/version").json() == {"version": __version__}
    assert server.http.get("/health").json() == {"state": "ready"}
    assert server.http.get("/live").status_code == 200
    tokens = server.http.post("/tokenize", json={"prompt": "Dolls, 不倒翁 🎉"}).json()["tokens"]
    assert server.http.post("/detokenize", json={"tokens": tokens}).json() == {"prompt": "Dolls, 不倒翁 🎉"}


def test_metrics_follow_the_requests(server: RunningServer) -> None:
    eventually(server.is_idle, "earlier tests' requests have ended")
    before = server.metrics()
    messages = user(image_part(picture(77, 112, 112)), text_part("Nobody has asked this before. " * 10))

    first = chat(server, messages, max_tokens=5)
    between = server.metrics()
    second = chat(server, messages, max_tokens=5)
    eventually(server.is_idle, "both have ended")
    after = server.metrics()

    def rise(name: str, start: dict[str, float], end: dict[str, float]) -> float:
        return end[name] - start.get(name, 0)

    prompt = first["usage"]["prompt_tokens"]
    assert rise("images_encoded_total", before, between) == 1
    assert rise("images_encoded_total", between, after) == 0
    assert rise("prompt_tokens_total", before, between) == prompt
    assert rise("generation_tokens_total", before, between) == 5
    assert rise("requests_total length", before, after) == 2
    assert rise("time_to_first_token_seconds_count", before, after) == 2
    hits = rise("prefix_cache_hit_tokens_total", between, after)
    assert hits == (prompt - 1) // 16 * 16 == second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert first["choices"][0]["message"] == second["choices"][0]["message"]
    assert after["kv_cache_blocks_used"] == after["num_requests_running"] == 0
    assert after["kv_cache_blocks_cached"] > 0
