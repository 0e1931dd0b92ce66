"""What the sampler's kernels read about a row: where its words stand, which of them are flags, and plain numbers."""

from __future__ import annotations

import triton
import triton.language as tl

from upright.kernels import sampler_state
from upright.kernels.sampler_state import Flag, Word

WORDS = tl.constexpr(sampler_state.WORDS)
MOST_ENDS = tl.constexpr(sampler_state.MOST_ENDS)
FLAGS = tl.constexpr(int(Word.FLAGS))
PROMPT_LENGTH = tl.constexpr(int(Word.PROMPT_LENGTH))
SEED_LOW = tl.constexpr(int(Word.SEED_LOW))
SEED_HIGH = tl.constexpr(int(Word.SEED_HIGH))
TOP_K = tl.constexpr(int(Word.TOP_K))
NGRAM_SIZE = tl.constexpr(int(Word.NGRAM_SIZE))
MIN_TOKENS = tl.constexpr(int(Word.MIN_TOKENS))
TEMPERATURE = tl.constexpr(int(Word.TEMPERATURE))
TOP_P = tl.constexpr(int(Word.TOP_P))
MIN_P = tl.constexpr(int(Word.MIN_P))
REPETITION = tl.constexpr(int(Word.REPETITION))
PRESENCE = tl.constexpr(int(Word.PRESENCE))
FREQUENCY = tl.constexpr(int(Word.FREQUENCY))
ENDS = tl.constexpr(int(Word.ENDS))
DRAWS = tl.constexpr(int(Flag.DRAWS))
CUTS = tl.constexpr(int(Flag.CUTS))
PENALTIES = tl.constexpr(int(Flag.PENALTIES))
NGRAMS = tl.constexpr(int(Flag.NGRAMS))
FEWEST = tl.constexpr(int(Flag.FEWEST))
PREPARED = tl.constexpr(int(Flag.CUTS | Flag.PENALTIES | Flag.NGRAMS | Flag.FEWEST))

MOST = tl.constexpr(2**31 - 1)
INFINITY = tl.constexpr(float("inf"))
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def float_word(words, word: tl.constexpr):
    return tl.load(words + word).to(tl.float32, bitcast=True)
