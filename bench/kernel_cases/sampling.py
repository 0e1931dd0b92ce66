"""The draw of a decode step's tokens, over the vocabulary of MinerU2.5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from kernel_timing import Case

from upright.kernels.sampling import SamplerState, SlotFill, draw, draw_reference
from upright.messages import SamplingParams

VOCABULARY = 151936
ROOM = 2048
_FORBIDDEN = {"presence_penalty": 1.0, "frequency_penalty": 0.05, "no_repeat_ngram_size": 100}
PARAMS: dict[str, tuple[dict[str, Any], int]] = {  # with the length of the output so far
    "greedy": ({"temperature": 0.0}, 0),
    "temperature": ({"temperature": 0.7}, 0),
    "MinerU's, 1000 before": ({"temperature": 0.0, **_FORBIDDEN}, 1000),
    "top-k 20, top-p 0.8": ({"temperature": 0.7, "top_k": 20, "top_p": 0.8}, 0),
    "top-p 0.95": ({"temperature": 1.0, "top_p": 0.95}, 0),
}


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    """`quick` leaves out all dtypes but bfloat16."""
    for dtype in (torch.bfloat16,) if quick else (torch.bfloat16, torch.float32):
        for name, (params, length) in PARAMS.items():
            for rows in (1, 64, 256):
                yield _case(device, dtype, name, params, length, rows)


def _case(device: torch.device, dtype: torch.dtype, name: str, params: dict[str, Any], length: int, rows: int) -> Case:
    """A distribution as models have it: a few likely tokens, far above all others."""
    generator = torch.Generator(device).manual_seed(0)
    logits = 2.5 * torch.randn(rows, VOCABULARY, device=device, generator=generator)
    likely = torch.randint(VOCABULARY, (rows, 30), device=device, generator=generator)
    logits.scatter_(1, likely, 12 + 2 * torch.randn(rows, 30, device=device, generator=generator))
    logits = logits.to(dtype)
    output = torch.randint(VOCABULARY, (length,), generator=torch.Generator().manual_seed(0)).tolist()
    fills = [SlotFill(slot, SamplingParams(seed=slot, max_tokens=ROOM, **params), 100, output) for slot in range(rows)]
    slots = torch.arange(rows, dtype=torch.int32, device=device)
    positions = torch.full((rows,), 100 + length - 1, dtype=torch.int32, device=device)
    drawn, tokens = torch.zeros(2, rows + 1, dtype=torch.int64, device=device).unbind()
    tokens = tokens[:rows]

    def state() -> SamplerState:
        made = SamplerState.allocate(rows, ROOM, device)
        made.fill(fills)
        return made

    def wrong() -> float:
        """Share of rows that draw another token than in plain torch; rounding may decide between two, but rarely."""
        draw_reference(logits, state(), slots, positions, drawn, tokens)
        expected = tokens.clone()
        draw(logits.clone(), state(), slots, positions, drawn, tokens)
        return float((tokens != expected).float().mean())

    timed = state()
    return Case(
        f"draw {name} N={rows} {str(dtype).removeprefix('torch.')}",
        "triton",
        lambda: draw(logits, timed, slots, positions, drawn, tokens),
        bytes=logits.nbytes,
        flop=0,
        check=wrong,
    )
