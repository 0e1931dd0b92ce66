"""Every route through the real `openai` client."""

from __future__ import annotations

import base64
import io
import json

import httpx
import openai
import PIL.Image
import pytest
from serving import ANSWER, CONTEXT_LENGTH, Server

HELLO = [{"role": "user", "content": "Hello"}]


def png(width: int = 56, height: int = 84) -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_chat(server: Server) -> None:
    answer = server.openai.chat.completions.create(model="tiny", messages=HELLO)
    choice = answer.choices[0]
    assert choice.message.content == ANSWER
    assert choice.finish_reason == "stop"
    assert answer.object == "chat.completion"
    ids = server.context.tokenizer.encode(ANSWER, False)
    assert answer.usage.completion_tokens == len(ids) + 1  # the end token counts
    assert answer.usage.prompt_tokens == len(server.service.requests[0].prompt)
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


def test_chat_streamed(server: Server) -> None:
    stream = server.openai.chat.completions.create(
        model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == ANSWER
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == len(server.context.tokenizer.encode(ANSWER, False)) + 1
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_events_on_the_wire(server: Server) -> None:
    body = {"messages": HELLO, "stream": True, "stream_options": {"continuous_usage_stats": True}}
    answer = server.post("/v1/chat/completions", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") and '"total_tokens":' in event for event in events[:-2])


@pytest.mark.parametrize("together", [1, 2, 3, 7])
def test_tokens_that_come_together_go_out_in_one_event(server: Server, together: int) -> None:
    ids = [*server.context.tokenizer.encode(ANSWER, False), server.context.model.eos_token_ids[0]]
    server.service.script = lambda request: [ids[at : at + together] for at in range(0, len(ids), together)]
    body = {"messages": HELLO, "stream": True, "logprobs": True, "return_token_ids": True}
    answer = server.post("/v1/chat/completions", body | {"stream_options": {"include_usage": True}})
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    usage = events.pop()["usage"]
    choices = [event["choices"][0] for event in events]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == ANSWER
    assert [token for choice in choices for token in choice.get("token_ids", [])] == ids
    assert sum(len(choice["logprobs"]["content"]) for choice in choices if choice["logprobs"]) == len(ids)
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert len(choices) <= 1 + -(-len(ids) // together), "more events than pieces of the answer"
    assert usage["completion_tokens"] == len(ids)
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_stop_string_is_found_within_and_across_events(server: Server) -> None:
    ids = server.context.tokenizer.encode(ANSWER, False)
    for together in (1, 2, 5, len(ids)):
        server.service.script = lambda request, n=together: [ids[at : at + n] for at in range(0, len(ids), n)]
        for stop in ("is 42", "wer", "rights itself"):
            answer = server.openai.chat.completions.create(model="tiny", messages=HELLO, stream=True, stop=stop)
            choices = [chunk.choices[0] for chunk in answer]
            assert "".join(choice.delta.content or "" for choice in choices) == ANSWER.partition(stop)[0]
            assert (choices[-1].finish_reason, choices[-1].stop_reason) == ("stop", stop)


def test_chat_defaults_fill_the_context(server: Server) -> None:
    server.openai.chat.completions.create(model="tiny", messages=HELLO)
    request = server.service.requests[0]
    assert request.params.max_tokens == CONTEXT_LENGTH - len(request.prompt)
    assert request.params.temperature == 1.0
    assert set(server.context.model.eos_token_ids) == set(request.params.end_token_ids)


def test_several_answers(server: Server) -> None:
    answer = server.openai.chat.completions.create(model="tiny", messages=HELLO, n=3, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {ANSWER}
    assert [request.params.seed for request in server.service.requests] == [7, 8, 9]
    assert answer.usage.prompt_tokens == len(server.service.requests[0].prompt)


def test_several_answers_streamed(server: Server) -> None:
    stream = server.openai.chat.completions.create(model="tiny", messages=HELLO, n=3, stream=True)
    texts = {0: "", 1: "", 2: ""}
    ends = []
    for chunk in stream:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        ends += [choice.index] if choice.finish_reason else []
    assert set(texts.values()) == {ANSWER}
    assert sorted(ends) == [0, 1, 2]


def test_requests_without_a_seed_differ(server: Server) -> None:
    for _ in range(2):
        server.openai.chat.completions.create(model="tiny", messages=HELLO)
    first, second = server.service.requests
    assert first.params.seed != second.params.seed


@pytest.mark.parametrize("stream", [False, True])
def test_stop_string(server: Server, stream: bool) -> None:
    answer = server.openai.chat.completions.create(model="tiny", messages=HELLO, stop=["2, an"], stream=stream)
    if stream:
        chunks = [chunk.choices[0] for chunk in answer]
        text, end = "".join(chunk.delta.content or "" for chunk in chunks), chunks[-1]
    else:
        text, end = answer.choices[0].message.content, answer.choices[0]
    assert text == "The answer is 4"
    assert end.finish_reason == "stop"
    assert end.stop_reason == "2, an"


def test_stop_string_is_kept_when_asked(server: Server) -> None:
    answer = server.openai.chat.completions.create(
        model="tiny", messages=HELLO, stop="42", extra_body={"include_stop_str_in_output": True}
    )
    assert answer.choices[0].message.content == "The answer is 42"


def test_usage_ends_at_the_stop_string(server: Server) -> None:
    answer = server.openai.chat.completions.create(model="tiny", messages=HELLO, stop=" is")
    assert answer.usage.completion_tokens == 3


def test_stop_token(server: Server) -> None:
    token = server.context.tokenizer.encode(ANSWER, False)[2]
    answer = server.openai.chat.completions.create(model="tiny", messages=HELLO, extra_body={"stop_token_ids": [token]})
    assert answer.choices[0].message.content == "The answer"
    assert answer.choices[0].stop_reason == token


def test_length(server: Server) -> None:
    answer = server.openai.chat.completions.create(model="tiny", messages=HELLO, max_completion_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "The answer"


def test_chat_logprobs(server: Server) -> None:
    answer = server.openai.chat.completions.create(model="tiny", messages=HELLO, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in content).decode() == ANSWER + "<|im_end|>"
    assert content[0].logprob == -0.5
    assert [entry.logprob for entry in content[0].top_logprobs] == [-0.5, -1.5, -9999.0]


def test_chat_logprobs_streamed(server: Server) -> None:
    stream = server.openai.chat.completions.create(model="tiny", messages=HELLO, logprobs=True, stream=True)
    entries = [entry for chunk in stream if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert len(entries) == len(server.context.tokenizer.encode(ANSWER, False)) + 1


def test_special_tokens_are_kept_when_asked(server: Server) -> None:
    tokenizer = server.context.tokenizer
    box, end = tokenizer.id_of("<|box_start|>"), server.context.model.eos_token_ids[0]
    server.service.script = lambda request: [[box, *tokenizer.encode("1 2", False), end]]
    for skip, text in ((False, "<|box_start|>1 2"), (True, "1 2")):
        answer = server.openai.chat.completions.create(
            model="tiny", messages=HELLO, extra_body={"skip_special_tokens": skip}
        )
        assert answer.choices[0].message.content == text


def test_image(server: Server) -> None:
    content = png()
    parts = [{"type": "image_url", "image_url": {"url": data_url(content)}}, {"type": "text", "text": "\nWhat?"}]
    server.openai.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}])
    request = server.service.requests[0]
    (image,) = request.images
    assert (image.grid_height, image.grid_width, image.tokens) == (6, 4, 6)
    assert image.content == content
    pad = server.context.model.image_token_id
    assert [place for place, token in enumerate(request.prompt) if token == pad] == list(
        range(image.start, image.start + 6)
    )


def test_the_mineru_client_body(server: Server) -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(png())}},
        {"type": "text", "text": "\nTable Recognition:"},
    ]
    body = {
        "model": "tiny", "temperature": 0.0, "top_p": 0.01, "top_k": 1, "presence_penalty": 1.0,
        "frequency_penalty": 0.05, "repetition_penalty": 1.0,
        "vllm_xargs": {"no_repeat_ngram_size": 100, "debug": False},
        "skip_special_tokens": False,
        "messages": [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": parts}],
    }  # fmt: skip
    answer = server.post("/v1/chat/completions", body)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    assert answer.json()["choices"][0]["message"]["content"] == ANSWER
    params = server.service.requests[0].params
    assert (params.temperature, params.top_p, params.top_k) == (0.0, 0.01, 1)
    assert params.no_repeat_ngram_size == 100


def test_completion(server: Server) -> None:
    answer = server.openai.completions.create(model="tiny", prompt="Once")
    assert answer.choices[0].text == ANSWER
    assert server.service.requests[0].prompt == server.context.tokenizer.encode("Once", True)


@pytest.mark.parametrize("prompt", [["Once", "Twice"], [[1, 2, 3], [4, 5]]])
def test_completion_of_several_prompts(server: Server, prompt: list[object]) -> None:
    answer = server.openai.completions.create(model="tiny", prompt=prompt, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    prompts = [request.prompt for request in server.service.requests]
    assert prompts[0] == prompts[1] != prompts[2] == prompts[3]
    assert answer.usage.prompt_tokens == len(prompts[0]) + len(prompts[2])


def test_completion_of_token_ids(server: Server) -> None:
    server.openai.completions.create(model="tiny", prompt=[11, 12, 13])
    assert server.service.requests[0].prompt == [11, 12, 13]


def test_completion_streamed(server: Server) -> None:
    stream = server.openai.completions.create(model="tiny", prompt="Once", stream=True, logprobs=2)
    chunks = [chunk.choices[0] for chunk in stream]
    assert "".join(chunk.text for chunk in chunks) == ANSWER
    offsets = [offset for chunk in chunks for offset in chunk.logprobs.text_offset]
    assert offsets == sorted(offsets)


def test_completion_logprobs(server: Server) -> None:
    answer = server.openai.completions.create(model="tiny", prompt="Once", logprobs=1, max_tokens=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs.tokens == ["The", " answer"]
    assert logprobs.token_logprobs == [-0.5, -0.5]
    assert logprobs.text_offset == [0, 3]


def test_models(server: Server) -> None:
    (model,) = server.openai.models.list().data
    assert model.id == "tiny"
    assert model.max_model_len == CONTEXT_LENGTH
    assert model.architecture == {"input_modalities": ["text", "image"], "output_modalities": ["text"]}
    assert server.openai.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        server.openai.models.retrieve("other")


def test_tokenize_and_back(server: Server) -> None:
    answer = server.post("/tokenize", {"prompt": "Hello 世界", "return_token_strs": True}).json()
    assert answer["tokens"] == server.context.tokenizer.encode("Hello 世界", True)
    assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
    assert answer["max_model_len"] == CONTEXT_LENGTH
    assert server.post("/detokenize", {"tokens": answer["tokens"]}).json() == {"prompt": "Hello 世界"}


def test_tokenize_messages_is_what_chat_runs(server: Server) -> None:
    answer = server.post("/tokenize", {"messages": HELLO}).json()
    server.openai.chat.completions.create(model="tiny", messages=HELLO)
    assert answer["tokens"] == server.service.requests[0].prompt


def test_token_ids_are_returned_when_asked(server: Server) -> None:
    body = {"messages": HELLO, "return_token_ids": True, "max_tokens": 3}
    answer = server.post("/v1/chat/completions", body).json()
    assert answer["choices"][0]["token_ids"] == server.context.tokenizer.encode(ANSWER, False)[:3]
    assert answer["prompt_token_ids"] == server.service.requests[0].prompt


def test_health_and_the_rest(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/live").status_code == 200
        assert "version" in client.get("/version").json()
        server.service.state = "recovering"
        health = client.get("/health")
        assert (health.status_code, health.headers["retry-after"]) == (503, "3")
        assert health.json() == {"state": "recovering", "reason": "the engine is recovering", "retry_after": 3}
        assert client.get("/live").status_code == 200
        status = client.get("/status").json()
        assert status["state"] == "recovering"
        assert status["engines"] == [{"rank": 0, "pid": 77, "state": "ready"}]
        assert status["last_death"] == {"time": "2026-11-21T20:00:00.000+00:00", "incident": "20261121-200000-0000"}
        assert (status["deaths"], status["recoveries"], status["rung"], status["rung_name"]) == (2, 1, 1, "small steps")


def test_metrics(server: Server) -> None:
    server.openai.chat.completions.create(model="tiny", messages=HELLO)
    text = server.http.get("/metrics").text
    for line in (
        "upright:num_requests_running 0.0",
        "upright:kv_cache_usage_ratio 0.25",
        "upright:preemptions_total 5.0",
        "upright:engine_ready 1.0",
        "upright:rung 1.0",
        "upright:engine_deaths_total 2.0",
        "upright:recoveries_total 1.0",
        "upright:recovery_seconds_total 1.5",
        "upright:replayed_requests_total 6.0",
        "upright:recovered_tokens_total 40.0",
        "upright:prefix_cache_queried_tokens_total 100.0",
        'upright:requests_total{finish_reason="stop"}',
        "upright:time_to_first_token_seconds_count",
        "upright:inter_token_latency_seconds_count",
        "upright:e2e_request_latency_seconds_count",
    ):
        assert line in text


def test_sdk_tools_reach_the_template(server: Server) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    server.openai.chat.completions.create(model="tiny", messages=HELLO, tools=[tool])
    server.openai.chat.completions.create(model="tiny", messages=HELLO, tools=[tool], tool_choice="none")
    texts = [server.context.tokenizer.decode(request.prompt, False) for request in server.service.requests]
    assert "look_up" in texts[0]
    assert "look_up" not in texts[1]
