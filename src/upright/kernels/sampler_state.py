"""What the device keeps of every slot to draw its tokens: parameters, the output so far, and what is known of it.

A row of `words` holds a sequence's parameters as 32-bit words, so that one copy fills a slot. The history is kept with
two things that would be slow to find anew at every step: how often each token has occurred, at the position where it
occurred first, and for each lag how long the output has been repeating itself.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upright.kernels.transfer import sent
from upright.messages import GREEDY_BELOW, SamplingParams

MOST_ENDS = 8  # end tokens of one sequence that are masked before its fewest tokens
LIST = 4096  # likeliest tokens that are copied apart to find where a distribution is cut off
_MOST = 2**31 - 1


class Word(IntEnum):
    """Place of each parameter in a row of `words`; floats keep their bits."""

    FLAGS = 0
    PROMPT_LENGTH = 1
    SEED_LOW = 2
    SEED_HIGH = 3
    TOP_K = 4  # 0: no limit
    NGRAM_SIZE = 5
    MIN_TOKENS = 6
    TEMPERATURE = 7  # float32 from here
    TOP_P = 8
    MIN_P = 9
    REPETITION = 10
    PRESENCE = 11
    FREQUENCY = 12
    ENDS = 13  # MOST_ENDS token ids, -1 where there are fewer


WORDS = Word.ENDS + MOST_ENDS + 3  # a multiple of 8, so that rows are aligned


class Flag(IntFlag):
    """What has to be done for a row. None: argmax of the logits as they are."""

    DRAWS = 1  # by noise; otherwise the likeliest
    CUTS = 2  # from what min-p, top-k and top-p leave; only with DRAWS
    PENALTIES = 4
    NGRAMS = 8  # some n-grams may not repeat
    FEWEST = 16  # end tokens are masked at first


class SlotFill(NamedTuple):
    """A sequence that comes into a slot. `output` is what it has drawn before: none, or what a replay recovered."""

    slot: int
    params: SamplingParams
    prompt_length: int
    output: Rows[int] = ()


@dataclass(frozen=True)
class SamplerState:
    """One row for each slot and one more, the last, for rows of a batch that belong to nobody.

    `history`, `counts` and `repeats` are valid up to a sequence's output length L, which is not stored: it follows from
    the position of a draw. `counts` and `repeats` are kept only where the row's flags ask for them.
    """

    words: Tensor  # int32 [slots + 1, WORDS], see Word
    history: Tensor  # int32 [slots + 1, max_model_len]: the output tokens
    counts: Tensor  # int32, likewise: occurrences of the token, at its first position; 0 where it occurs again
    repeats: Tensor  # int32, likewise: at lag d, 0 < d < L, how many tokens at the end equal those d before them
    # What kernels leave for the next one of the same draw:
    adjusted: Tensor  # float32 [slots + 1, max_model_len]: logits after penalties, at the token's first position
    listed_values: Tensor  # float32 [slots + 1, LIST]
    listed_tokens: Tensor  # int32 [slots + 1, LIST]
    least_kept: Tensor  # float32 [slots + 1]: the least logit that a cut keeps …
    last_kept: Tensor  # int32 [slots + 1]: … and the highest token id that is kept of those with just that logit

    @staticmethod
    def allocate(slots: int, max_model_len: int, device: torch.device) -> SamplerState:
        """Rows for `slots` slots and a dummy, all greedy without penalties."""
        rows = slots + 1

        def table(width: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(rows, width, dtype=dtype, device=device)

        return SamplerState(
            words=table(WORDS, torch.int32),
            history=table(max_model_len, torch.int32),
            counts=table(max_model_len, torch.int32),
            repeats=table(max_model_len, torch.int32),
            adjusted=table(max_model_len, torch.float32),
            listed_values=table(LIST, torch.float32),
            listed_tokens=table(LIST, torch.int32),
            least_kept=table(1, torch.float32).view(rows),
            last_kept=table(1, torch.int32).view(rows),
        )

    @staticmethod
    def bytes(slots: int, max_model_len: int) -> int:
        """What `allocate` takes."""
        return (slots + 1) * 4 * (WORDS + 4 * max_model_len + 2 * LIST + 2)

    def fill(self, fills: Rows[SlotFill]) -> None:
        """Write the rows of sequences that come into their slots. On a GPU nothing waits for the copies.

        A row that is not `served_on_device` becomes greedy without penalties: it changes no logits, and what it draws
        is to be overwritten.
        """
        if not fills:
            return
        rows = np.zeros((len(fills), 1 + WORDS), dtype=np.int32)
        for row, fill in zip(rows, fills, strict=True):
            row[0] = fill.slot
            _write_words(row[1:], fill)
        there = sent(torch.from_numpy(rows), self.words.device)
        self.words.index_copy_(0, there[:, 0].long(), there[:, 1:])
        recovered = [fill for fill in fills if fill.output]
        if recovered:
            self._fill_history(recovered)

    def _fill_history(self, fills: list[SlotFill]) -> None:
        width = self.history.shape[1]
        columns = []
        for fill in fills:
            output = np.asarray(fill.output, dtype=np.int32)
            if len(output) > width:
                raise ValueError(f"slot {fill.slot} is given {len(output)} output tokens, and has room for {width}")
            known = np.empty((5, len(output)), dtype=np.int32)
            known[0] = fill.slot
            known[1] = np.arange(len(output))
            known[2] = output
            known[3] = first_counts(output)
            known[4] = repeats_by_lag(output, fill.params.no_repeat_ngram_size)
            columns.append(known)
        slots, places, tokens, counts, repeats = sent(
            torch.from_numpy(np.concatenate(columns, axis=1)), self.words.device
        )
        where = (slots.long(), places.long())
        self.history.index_put_(where, tokens)
        self.counts.index_put_(where, counts)
        self.repeats.index_put_(where, repeats)


def served_on_device(params: SamplingParams) -> str | None:
    """None where `sampling.draw` serves these parameters, else what it does not."""
    if params.logprobs is not None:
        return "log probabilities"
    if params.logit_bias:
        return "a bias of logits"
    if params.min_tokens > 0 and len(params.end_token_ids) > MOST_ENDS:
        return f"min_tokens with more than {MOST_ENDS} end tokens"
    return None


def first_counts(output: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each position the occurrences of its token in all of `output` if it is the first of them, else 0."""
    counts = np.zeros(len(output), dtype=np.int32)
    _, first, occurrences = np.unique(output, return_index=True, return_counts=True)
    counts[first] = occurrences
    return counts


def repeats_by_lag(output: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """At index d, 0 < d < len(output): how many tokens at the end of `output` equal those d before them.

    No more than `most` are counted: a ban asks only whether its n-gram, but for the last token, is there.
    """
    length = len(output)
    repeats = np.zeros(length, dtype=np.int32)
    lags = np.arange(1, length)
    for back in range(1, most + 1):
        lags = lags[lags <= length - back]
        lags = lags[output[length - back - lags] == output[length - back]]
        if not len(lags):
            break
        repeats[lags] += 1
    return repeats


def _write_words(words: NDArray[np.int32], fill: SlotFill) -> None:
    params = fill.params
    words[Word.PROMPT_LENGTH] = fill.prompt_length
    words[Word.ENDS : Word.ENDS + MOST_ENDS] = -1
    if served_on_device(params) is not None:
        return
    flags = Flag(0)
    if params.temperature >= GREEDY_BELOW and params.top_k != 1:  # the likeliest alone needs no noise
        flags |= Flag.DRAWS
        if params.top_k > 0 or params.top_p < 1.0 or params.min_p > 0.0:
            flags |= Flag.CUTS
    if params.repetition_penalty != 1.0 or params.presence_penalty != 0.0 or params.frequency_penalty != 0.0:
        flags |= Flag.PENALTIES
    if params.no_repeat_ngram_size > 0:
        flags |= Flag.NGRAMS
    if params.min_tokens > 0 and params.end_token_ids:
        flags |= Flag.FEWEST
        words[Word.ENDS : Word.ENDS + len(params.end_token_ids)] = params.end_token_ids
    words[Word.FLAGS] = flags
    words[Word.SEED_LOW : Word.SEED_HIGH + 1] = np.array([params.seed], dtype=np.int64).view(np.int32)
    words[Word.TOP_K] = min(params.top_k, _MOST)
    words[Word.NGRAM_SIZE] = min(params.no_repeat_ngram_size, _MOST)
    words[Word.MIN_TOKENS] = min(params.min_tokens, _MOST)
    words.view(np.float32)[Word.TEMPERATURE : Word.ENDS] = (
        params.temperature,
        params.top_p,
        params.min_p,
        params.repetition_penalty,
        params.presence_penalty,
        params.frequency_penalty,
    )
