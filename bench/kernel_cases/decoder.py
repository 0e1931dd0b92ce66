"""The decoder's small operations, and one layer without attention, on the shapes of MinerU2.5 and Qwen2-VL-7B."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from upright.kernels.activation import silu_gate
from upright.kernels.decode_inputs import apply_table_updates, prepare_decode
from upright.kernels.kv_store import rotate_and_store
from upright.kernels.normalise import add_rms_norm, rms_norm
from upright.kernels.rotary import rotation_of_positions

# hidden, intermediate, query heads, key heads, head size
SHAPES = {"MinerU": (896, 4864, 14, 2, 64), "7B": (3584, 18944, 28, 4, 128)}
ROWS = (1, 8, 64, 256, 8192)
DTYPE = torch.bfloat16

Case = tuple[str, Callable[[], object], int, int]  # name, what is timed, bytes that it must move, operations


def cases(device: torch.device, quick: bool) -> Iterable[Case]:
    """`quick` leaves out all but one row and many."""
    for model, shape in SHAPES.items():
        for rows in (1, 8192) if quick else ROWS:
            yield from _element_wise(device, model, shape, rows)
    for rows in (1, 64, 256):
        yield _decode_inputs(device, rows)


def _element_wise(device: torch.device, model: str, shape: tuple[int, int, int, int, int], rows: int) -> Iterable[Case]:
    hidden, mlp, heads, kv_heads, size = shape
    count = heads + 2 * kv_heads

    def draw(*dimensions: int) -> torch.Tensor:
        return torch.randn(*dimensions, dtype=DTYPE, device=device)

    residual, delta, gain = torch.zeros(rows, hidden, dtype=DTYPE, device=device), draw(rows, hidden), draw(hidden)
    where = f"{model} T={rows}"
    row = 2 * rows * hidden
    yield f"rms_norm {where}", lambda: rms_norm(residual, gain, 1e-6), 2 * row, 0
    yield f"add_rms_norm {where}", lambda: add_rms_norm(residual, delta, gain, 1e-6), 4 * row, 0
    gate_up = draw(rows, 2 * mlp)
    yield f"silu_gate {where}", lambda: silu_gate(gate_up), 6 * rows * mlp, 0
    positions = torch.arange(rows, device=device).expand(3, -1)
    frequencies = torch.rand(size // 2, device=device)
    axes = torch.randint(0, 3, (size // 2,), device=device)
    turn = rotation_of_positions(positions, frequencies, axes, DTYPE)
    yield (
        f"rotation {where}",
        lambda: rotation_of_positions(positions, frequencies, axes, DTYPE),
        rows * (8 * size + 24),
        0,
    )
    qkv, bias = draw(rows, count, size), draw(count * size)
    cache = torch.zeros(-(-rows // 16), 16, 2, kv_heads, size, dtype=DTYPE, device=device)
    slots = torch.randperm(cache.shape[0] * 16, device=device)[:rows]
    moved = rows * (4 * count * size + 4 * size)
    yield (
        f"rotate_and_store {where}",
        lambda: rotate_and_store(qkv, bias, turn, cache, slots, heads),
        moved,
        0,
    )


def _decode_inputs(device: torch.device, rows: int) -> Case:
    slots, width = 256, 2048
    tables = torch.zeros(slots + 1, width, dtype=torch.int32, device=device)
    drawn, deltas = torch.zeros(slots + 1, dtype=torch.int64, device=device), tables[:, 0].contiguous()
    ours = torch.randperm(slots, device=device)[:rows].int()
    positions = torch.randint(0, 16 * width, (rows,), device=device).int()
    updates = torch.zeros(rows, 3, dtype=torch.int32, device=device)
    updates[:, 0] = ours

    def prepare() -> None:
        apply_table_updates(tables, updates)
        prepare_decode(ours, positions, drawn, tables, deltas, 16)

    return f"table updates + prepare_decode B={rows} of {width} blocks", prepare, 8 * rows * width, 0
