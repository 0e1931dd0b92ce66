"""Images from their bytes to features: what is decoded and encoded, when, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
import torch

from tests.dummy_models import draw_weights, dummy_model
from tests.engine.driving import Picture, Setting, greedy, make_core_of, renamed, run, with_images_of
from upright.engine import image_encoder
from upright.engine.core import EngineCore
from upright.engine.image_encoder import ImageEncoder, packed
from upright.engine.images import ImageDecoder
from upright.engine.sequence import Sequence
from upright.engine.step import Encoding
from upright.messages import Image, Request
from upright.models.model import Model

SETTING = Setting(max_model_len=300, max_num_seqs=4, max_num_batched_tokens=200, blocks=64)


@pytest.fixture(scope="module")
def model() -> Model:
    made = dummy_model("qwen2_vl", "cpu", torch.float32)
    draw_weights(made.decoder, 0.08)  # wide enough that answers depend on what is seen
    return made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Keys of the images that have been decoded."""
    keys: list[bytes] = []
    decode = ImageDecoder.decode

    def counting(self: ImageDecoder, image: Image) -> torch.Tensor:
        keys.append(image.key)
        return decode(self, image)

    monkeypatch.setattr(ImageDecoder, "decode", counting)
    yield keys


def looking(model: Model, name: str, picture: int, text: int = 5, max_tokens: int = 6) -> Request:
    parts = [[7, 8], Picture.random(picture, 84, 56), [text]]
    return with_images_of(model.config, greedy(name, [], max_tokens), parts, image_token=901)


def empty_handed(core: EngineCore) -> bool:
    return core.runner.images.pixels.bytes == 0


def evict_all(core: EngineCore) -> None:
    encoder = core.scheduler.encoder
    assert encoder.reserve(b"all of it", encoder.capacity, "nobody")
    encoder.unpin(b"all of it", "nobody")


def finish(core: EngineCore) -> dict[str, list[int]]:
    """Tokens of everything that is in the engine."""
    tokens: dict[str, list[int]] = {}
    while core.has_work:
        for output in core.step().each():
            tokens.setdefault(output.id, []).extend(output.tokens)
    return tokens


def test_equal_images_are_decoded_once_and_known_ones_not_at_all(model: Model, decoded: list[bytes]) -> None:
    core = make_core_of(model, SETTING)
    first, other = looking(model, "a", 1), looking(model, "c", 2)
    again = looking(model, "b", 1, text=6)
    together = run(core, [first, again, other])
    assert sorted(decoded) == sorted({first.images[0].key, other.images[0].key})
    later = run(core, [renamed(again, "later")])
    assert len(decoded) == 2
    assert later["later"].tokens == together["b"].tokens
    assert together["a"].tokens != together["c"].tokens
    assert core.stats().images_encoded == 2
    assert empty_handed(core)
    core.close()


def test_features_that_were_evicted_meanwhile_are_made_again(model: Model, decoded: list[bytes]) -> None:
    core = make_core_of(model, SETTING)
    first = looking(model, "first", 1)
    expected = run(core, [first])["first"].tokens
    core.submit(renamed(first, "second"))
    assert core._take_decoded() == [] and core.scheduler.has_work and len(decoded) == 1
    evict_all(core)
    assert finish(core) == {"second": expected}
    assert decoded == [first.images[0].key] * 2
    assert empty_handed(core)
    core.close()


@pytest.mark.parametrize("on_device", [False, True], ids=["", "on_device"])
def test_others_keep_their_pace_while_an_image_is_encoded(
    model: Model, on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_encoder, "PASS_STEPS", 2)  # the tower has two layers
    setting = replace(SETTING, on_device=on_device, overlap=on_device)
    requests = [greedy("text", [3, 4, 5], 30), looking(model, "image", 1), looking(model, "more", 2)]
    expected = run(make_core_of(model, setting), requests)
    core = make_core_of(model, replace(setting, encode_ahead=True))
    core.submit(requests[0])
    tokens: dict[str, list[int]] = {"text": [], "image": [], "more": []}

    def step() -> None:
        for output in core.step().each():
            tokens[output.id] += output.tokens

    while len(tokens["text"]) < 2:
        step()
    core.submit(requests[1])
    core.submit(requests[2])
    while core.stats().images_encoded == 0:  # one of them is decoded first, or both are together
        step()
        time.sleep(0.001)
    before = len(tokens["text"])
    assert core.runner.images.on_way and set(core.runner.images.on_way) <= {"image", "more"}
    while not tokens["image"] and not tokens["more"]:
        step()
    assert len(tokens["text"]) >= before + 2  # a layer beside each of two steps
    while core.has_work:
        step()
    assert tokens == {name: answer.tokens for name, answer in expected.items()}
    assert empty_handed(core)
    assert not core.runner.images._queue and not core.runner.images._running
    core.close()


def test_an_image_whose_request_is_gone_leaves_nothing(model: Model) -> None:
    core = make_core_of(model, replace(SETTING, encode_ahead=True))
    core.submit(greedy("text", [3, 4, 5], 60))
    core.submit(looking(model, "image", 1))
    while core.stats().images_encoded < 1:
        core.step()
        time.sleep(0.001)
    core.abort("image")
    evict_all(core)
    finish(core)
    images = core.runner.images
    assert not images._features and not images._passes and not images._queue
    assert empty_handed(core)
    core.close()


def test_passes_are_packed_in_order_and_a_large_image_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_encoder, "PASS_PATCHES", 100)
    heights = (3, 7, 1, 20, 2, 8, 10)
    images = tuple(Image(b"", bytes([n]), 0, n, 10, 1) for n in heights)
    sequence = Sequence(msgspec.structs.replace(greedy("several", [1], 1), images=images), 16)
    parts = packed(Encoding(sequence, index) for index in range(len(images)))
    assert [[heights[one.image] for one in part] for part in parts] == [[3, 7], [1], [20], [2, 8], [10]]
    assert list(packed([])) == []


def test_passes_are_carried_on_in_their_order_even_if_a_later_one_is_wanted(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pass has begun with is shared by all of them, so none may overtake it."""
    monkeypatch.setattr(image_encoder, "PASS_STEPS", 2)
    monkeypatch.setattr(image_encoder, "PASS_PATCHES", 1)  # one for each image
    requests = [looking(model, name, picture) for picture, name in enumerate("abc")]
    keys = [request.images[0].key for request in requests]
    encoder = ImageEncoder(model)
    encoder.encode(tuple(Encoding(Sequence(request, 16), 0) for request in requests))
    assert [made.run.layer if made.run is not None else 0 for made in encoder._queue] == [1, 0, 0]
    with torch.inference_mode():
        assert encoder._features_of(keys[1]).shape[0] == requests[1].images[0].tokens
    assert [made.images[0].key for made in encoder._queue] == keys[2:]
    assert encoder.finished() == keys[:2]
    encoder.encode(())
    encoder.encode(())
    assert encoder.finished() == keys[2:] and not encoder._queue
