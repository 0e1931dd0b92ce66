"""Logits that are not finite end their request with an error, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tests.dummy_models import draw_weights, dummy_model
from tests.engine.driving import Setting, greedy, make_core_of, random_prompt, run
from upright.engine.core import EngineCore
from upright.engine.not_finite import not_finite_fault
from upright.engine.warm_up import STEPS, warm_up
from upright.messages import Request, SamplingParams, SequenceOutput
from upright.models.model import Model

DAMAGED = 7  # the token whose embedding is no number
SETTING = Setting(max_model_len=300, max_num_seqs=4, max_num_batched_tokens=64, blocks=60)
SETTINGS = {
    "plain": SETTING,
    "overlap": replace(SETTING, overlap=True),
    "torch": replace(SETTING, attention="reference"),
    "as on a GPU": replace(SETTING, overlap=True, on_device=True),
}


@pytest.fixture(scope="module")
def model() -> Model:
    made = dummy_model("qwen2_vl", "cpu", torch.float32)
    decoder = made.decoder
    draw_weights(decoder, 0.08)
    decoder.head = decoder.head.clone()  # which may share its memory with the embeddings
    decoder.embedding[DAMAGED] = torch.nan
    return made


@pytest.fixture(params=SETTINGS)
def core(model: Model, request: pytest.FixtureRequest) -> Iterator[EngineCore]:
    made = make_core_of(model, SETTINGS[request.param])
    yield made
    made.close()


def prompt(length: int) -> list[int]:
    return [100 + token % 800 for token in random_prompt(length, length)]


def outputs(core: EngineCore, *requests: Request) -> dict[str, list[SequenceOutput]]:
    told: dict[str, list[SequenceOutput]] = {one.id: [] for one in requests}
    for one in requests:
        core.submit(one)
    while core.has_work:
        for output in core.step().each():
            told[output.id].append(output)
        core.scheduler.check()
    return told


def drawing(name: str, tokens: list[int], **params: object) -> Request:
    return Request(id=name, prompt=tokens, params=SamplingParams(seed=3, max_tokens=20, **params))  # type: ignore[arg-type]


def test_a_request_fails_alone(core: EngineCore) -> None:
    sound = [greedy(f"sound-{length}", prompt(length), 20) for length in (5, 40, 90)]
    alone = run(core, sound)
    damaged = [
        greedy("damaged", [*prompt(20), DAMAGED, *prompt(20)], 20),
        drawing("drawn", [DAMAGED], temperature=0.8, top_p=0.9),
        drawing("told", [*prompt(30), DAMAGED], logprobs=2, presence_penalty=1.0),
    ]
    told = outputs(core, sound[0], damaged[0], sound[1], *damaged[1:], sound[2])
    for one in damaged:
        (last,) = told[one.id]
        assert (last.tokens, last.at, last.finish) == ([], 0, "error")
        assert last.fault == not_finite_fault(torch.float32)
    for one in sound:  # blocks that held no numbers are others' by now
        assert [token for output in told[one.id] for token in output.tokens] == alone[one.id].tokens
    again = run(core, [replace_id(one, f"again-{one.id}") for one in sound])
    assert [answer.tokens for answer in again.values()] == [answer.tokens for answer in alone.values()]


def replace_id(request: Request, name: str) -> Request:
    return Request(id=name, prompt=request.prompt, params=request.params)


def test_what_was_drawn_before_stays(core: EngineCore, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay too counts on from the tokens that it has."""
    whole = run(core, [greedy("whole", prompt(9), 12)])["whole"].tokens
    fifth = whole.index(whole[4])  # its first place
    embedding = model.decoder.embedding.clone()
    embedding[whole[4]] = torch.nan
    monkeypatch.setattr(model.decoder, "embedding", embedding)
    told = outputs(core, greedy("cut", prompt(9), 12))["cut"]
    assert [token for output in told for token in output.tokens] == whole[: fifth + 1]
    assert (told[-1].finish, told[-1].at) == ("error", fifth + 1)
    replay = Request(id="replay", prompt=prompt(9), params=greedy("", [], 12).params, output=whole[:6], attempt=2)
    (last,) = outputs(core, replay)["replay"]
    assert (last.tokens, last.at, last.attempt, last.finish) == ([], 6, 2, "error")


def test_steps_of_start_up_go_on_to_their_end(core: EngineCore, monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    """What they take is measured, also where a wider range will put it right."""
    monkeypatch.setattr(model.decoder, "embedding", torch.full_like(model.decoder.embedding, torch.nan))
    steps = core.stats().steps
    warm_up(core)
    assert core.stats().steps - steps == 2 * STEPS
    assert [one.finish for one in outputs(core, greedy("a", prompt(5), 9))["a"]] == ["error"]


def test_the_advice_fits_the_dtype() -> None:
    assert "--dtype" not in not_finite_fault(torch.float32).message
    assert "bfloat16 is too narrow" in not_finite_fault(torch.bfloat16).message
    assert "--dtype float32" in not_finite_fault(torch.bfloat16).message
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert "weight files are damaged" in not_finite_fault(dtype).message
