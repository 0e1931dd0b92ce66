"""Batches keep to their budget, and what fills them up changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.training.small_shape import SHAPE
from tests.training.small_tokenizer import save_small_tokenizer
from tests.training.worlds import small_world
from training.batches import Arrays, Budget, Shares, draw, filled, made, pack
from training.encode import NOTHING, Encoder
from training.model import Reader, to_device
from training.render.lines import word
from training.render.nothing import nothing
from training.samples import Sample
from training.world import World

BUDGET = Budget(patches=1200, tokens=1600, learnt=300, conversations=12)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    out = tmp_path_factory.mktemp("tokenizer")
    save_small_tokenizer(out)
    return Encoder(out, SHAPE)


def drawn(encoder: Encoder, seed: int, budget: Budget = BUDGET) -> Arrays:
    shares: Shares = {word: 0.9, nothing: 0.1}
    return pack(draw(random.Random(seed), shares, small_world(), encoder, budget), SHAPE.merge)


def test_batches_keep_to_their_budget_and_nearly_reach_it(encoder: Encoder) -> None:
    for seed in range(8):
        arrays = drawn(encoder, seed)
        sizes = (len(arrays["patches"]), len(arrays["ids"]), len(arrays["learnt"]), len(arrays["text_starts"]) - 1)
        most = (BUDGET.patches, BUDGET.tokens - 1, BUDGET.learnt, BUDGET.conversations)
        shares = [size / room for size, room in zip(sizes, most, strict=True)]
        assert 0.6 < max(shares) <= 1.0


def test_a_conversation_that_is_too_large_for_any_batch_is_told(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="task line is larger than Budget"):
        draw(random.Random(1), {word: 1.0}, small_world(), encoder, Budget(8, 1600, 300, 12))


def test_pictures_may_be_larger_than_they_were_drawn_and_say_the_same(encoder: Encoder) -> None:
    sample = word(random.Random(1), small_world())
    plain, larger = encoder.encode(sample), encoder.encode(sample, larger=4.0)

    assert min(larger.grids[0]) > min(plain.grids[0]) and max(larger.grids[0]) > max(plain.grids[0])
    assert larger.labels[larger.labels != NOTHING].tolist() == plain.labels[plain.labels != NOTHING].tolist()
    first, also = (
        draw(random.Random(3), {word: 1.0}, small_world(), encoder, BUDGET, 0.0, share)[0] for share in (0.0, 1.0)
    )
    assert len(also.patches) > len(first.patches) and also.learnt == first.learnt


def test_makers_of_several_go_on_until_they_have_no_more() -> None:
    def three(rng: random.Random, world: World) -> Iterator[Sample]:
        for _ in range(3):
            yield word(rng, world)

    one, other = (list(islice(made(random.Random(5), {three: 0.5, word: 0.5}, small_world()), 12)) for _ in range(2))
    assert [sample.turns[-1] for sample in one] == [sample.turns[-1] for sample in other]


def test_what_fills_a_batch_up_changes_neither_losses_nor_gradients(encoder: Encoder) -> None:
    torch.manual_seed(0)
    model = Reader(SHAPE)
    for seed in range(3):
        arrays = drawn(encoder, seed)
        full = filled(arrays, BUDGET, SHAPE.merge)
        found = []
        for one in (arrays, full):
            model.zero_grad()
            losses = model.losses(to_device(one, torch.device("cpu")))
            losses.sum().backward()
            found.append((losses.detach(), [part.grad.clone() for part in model.parameters() if part.grad is not None]))
        (plain, expected), (longer, gradients) = found
        torch.testing.assert_close(longer[: len(plain)], plain, atol=1e-5, rtol=1e-5)
        assert not longer[len(plain) :].any()
        torch.testing.assert_close(gradients, expected, atol=1e-4, rtol=1e-4)


def test_batches_that_are_filled_up_are_all_of_one_size(encoder: Encoder) -> None:
    full = [filled(drawn(encoder, seed), BUDGET, SHAPE.merge) for seed in range(6)]
    assert len({tuple((name, array.shape) for name, array in one.items()) for one in full}) == 1
    for one in full:
        for starts, end, longest in (
            (one["picture_starts"], BUDGET.patches, int(one["longest_picture"])),
            (one["text_starts"], BUDGET.tokens, int(one["longest_text"])),
        ):
            lengths = starts[1:] - starts[:-1]
            assert starts[0] == 0 and starts[-1] == end and lengths.min() >= 0 and lengths.max() <= longest


def test_what_is_spelled_says_the_same_in_letters(encoder: Encoder) -> None:
    sample = word(random.Random(3), small_world())
    plain, spelled = encoder.encode(sample), encoder.encode(sample, spelled=True)
    assert (plain.slots == spelled.slots).all()
    said = [label for label in spelled.labels if label != NOTHING]
    assert len(said) == len(sample.turns[-1].text.encode()) + 1
    assert encoder._speller.decode(said, skip_special_tokens=True) == sample.turns[-1].text


def test_a_share_of_a_budget_has_whole_tokens_of_pictures() -> None:
    assert Budget(1001, 800, 300, 3).times(0.1) == Budget(100, 80, 30, 1)


def test_the_tokenizer_of_the_reader_is_spelled_letter_by_letter(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    save_small_tokenizer(tmp_path)
    merged = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    vocabulary = merged.get_vocab(with_added_tokens=False) | {"ab": 300}
    grown = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    grown.pre_tokenizer, grown.decoder = merged.pre_tokenizer, merged.decoder
    grown.add_special_tokens(list(merged.get_added_tokens_decoder().values()))
    grown.save(str(tmp_path / "tokenizer.json"))
    encoder = Encoder(tmp_path, SHAPE)
    assert len(encoder._tokenizer.encode("abba").ids) == 3
    assert len(encoder._speller.encode("abba").ids) == 4
