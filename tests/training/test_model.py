"""What is trained is Qwen2-VL: transformers and Upright compute the same from the checkpoint."""

from __future__ import annotations

import random
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.small_shape import SHAPE
from tests.training.small_tokenizer import save_small_tokenizer
from training.batches import pack
from training.checkpoint import blended, load_parts, save, save_parts, weights_of
from training.encode import NOTHING, Encoder
from training.model import Batch, Reader, to_device
from training.samples import Pixels, Sample, Turn
from training.shape import READER


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    save_small_tokenizer(out)
    return out


@pytest.fixture(scope="module")
def model() -> Reader:
    torch.manual_seed(0)
    made = Reader(SHAPE)
    for part in made.parameters():
        part.data.normal_(0, 0.1) if part.dim() > 1 else part.data.add_(torch.randn_like(part), alpha=0.05)
        part.data.copy_(part.data.half().float())  # as the checkpoint has it
    return made


def picture(rng: random.Random, height: int, width: int) -> Pixels:
    return np.random.default_rng(rng.randrange(10**6)).integers(0, 256, (height, width, 3), dtype=np.uint8)


def asked(rng: random.Random, sizes: list[tuple[int, int]], answers: list[str]) -> Sample:
    turns = [
        Turn("user", "Text Recognition:", tuple(picture(rng, *size) for size in sizes)),
        Turn("assistant", answers[0]),
    ]
    for answer in answers[1:]:
        turns += [Turn("user", "and then?"), Turn("assistant", answer)]
    return Sample("text", tuple(turns))


SAMPLES = [([(56, 84)], ["one line"]), ([], ["no picture", "still none"]), ([(84, 56), (56, 56)], ["two", "and more"])]


def batch_of(encoder: Encoder, samples: list[Sample]) -> Batch:
    return to_device(pack([encoder.encode(sample) for sample in samples], SHAPE.merge), torch.device("cpu"))


def test_the_size_is_what_was_promised() -> None:
    assert READER.parameters <= 16_000_000
    assert sum(part.numel() for part in Reader(SHAPE).parameters()) == SHAPE.parameters


def test_transformers_computes_the_same(model: Reader, tokenizer: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save(weights_of(model), SHAPE, tokenizer, tmp_path)
    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).eval()
    encoder = Encoder(tokenizer, SHAPE)
    rng = random.Random(1)
    samples = [asked(rng, sizes, answers) for sizes, answers in SAMPLES]
    with torch.no_grad():
        ours = model(batch_of(encoder, samples))
        begin = 0
        for sample in samples:
            encoded = encoder.encode(sample)
            patches = torch.from_numpy(encoded.patches).float().view(-1, 3, 1, SHAPE.patch**2) / 127.5 - 1.0
            given = {"pixel_values": patches.expand(-1, -1, 2, -1).flatten(1),
                     "image_grid_thw": torch.tensor([(1, *grid) for grid in encoded.grids])}  # fmt: skip
            ids = torch.from_numpy(encoded.ids).unsqueeze(0)
            kinds = (ids == encoder._pad).int()
            expected = theirs(input_ids=ids, mm_token_type_ids=kinds, **(given if encoded.grids else {})).logits[0]
            torch.testing.assert_close(ours[begin : begin + len(encoded.ids)], expected, atol=2e-4, rtol=2e-4)
            begin += len(encoded.ids)


def test_only_what_the_assistant_says_is_learnt(tokenizer: Path) -> None:
    encoder = Encoder(tokenizer, SHAPE)
    encoded = encoder.encode(asked(random.Random(2), [(56, 56)], ["first", "second"]))
    told = encoder._tokenizer.decode([label for label in encoded.labels if label != NOTHING], skip_special_tokens=False)
    assert told == "first<|im_end|>second<|im_end|>"
    assert len(encoded.slots) == 4 and (encoded.ids[encoded.slots] == encoder._pad).all()


def test_conversations_do_not_see_each_other(model: Reader, tokenizer: Path) -> None:
    encoder = Encoder(tokenizer, SHAPE)
    rng = random.Random(3)
    samples = [asked(rng, sizes, answers) for sizes, answers in SAMPLES]
    with torch.no_grad():
        together = model.losses(batch_of(encoder, samples))
        alone = torch.cat([model.losses(batch_of(encoder, [sample])) for sample in samples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_it_learns(tokenizer: Path) -> None:
    torch.manual_seed(1)
    model, encoder = Reader(SHAPE), Encoder(tokenizer, SHAPE)
    rng = random.Random(4)
    batch = batch_of(encoder, [asked(rng, [(56, 56)], [answer]) for answer in ("alpha", "beta", "gamma")])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = model.losses(batch).mean().item()
    for _ in range(60):
        loss = model.losses(batch).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert loss.item() < first / 4


def test_parts_are_whole(model: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.checkpoint.PART_BYTES", 50_000)
    save_parts(weights_of(model), tmp_path, "last")
    assert len(list(tmp_path.glob("last-*.safetensors"))) > 2
    again = Reader(SHAPE)
    again.load_state_dict(load_parts(tmp_path, "last"))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    with pytest.raises(FileNotFoundError, match="mean"):
        load_parts(tmp_path, "mean")


def test_a_blend_lies_between_two_models(model: Reader) -> None:
    one, other = weights_of(model), weights_of(Reader(SHAPE))
    for name, weight in blended(one, other, 0.25).items():
        torch.testing.assert_close(weight, one[name] + (other[name] - one[name]) / 4)


def test_a_batch_is_what_the_model_takes(tokenizer: Path) -> None:
    arrays = pack([Encoder(tokenizer, SHAPE).encode(asked(random.Random(5), [(56, 56)], ["x"]))], SHAPE.merge)
    assert set(arrays) == {field.name for field in fields(Batch)}
