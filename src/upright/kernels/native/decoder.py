"""The decoder's layers in C for small steps on a CPU: what CUDA graphs are to a GPU, minus the GPU.

With few rows a step only streams the weights, and two thirds of its time with torch goes to matrix products that read
at half the memory's speed and to the gaps between small operations. Here one parallel region runs all layers. The torch
path in `models/decoder.py` is the reference and serves everything else.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from upright.kernels.attention.batch import KVCache, PagedBatch
from upright.kernels.native.library import NativeUnavailable, load_library
from upright.kernels.rotary import Rotation

MAX_ROWS = 64  # more, and torch's matrix products are as fast
MAX_GROUP = 16  # as in decoder.c

_Pointer = ctypes.c_void_p
_Int = ctypes.c_int64


class _Layer(ctypes.Structure):
    _fields_ = [(name, _Pointer) for name in (
        "input_norm", "qkv", "qkv_bias", "output", "output_bias", "mlp_norm", "gate_up", "gate_up_bias", "down",
        "down_bias", "cache",
    )]  # fmt: skip


class _Decoder(ctypes.Structure):
    _fields_ = [
        *((name, _Int) for name in (
            "layers", "hidden", "intermediate", "heads", "kv_heads", "head_size", "block_size",
        )),
        ("epsilon", ctypes.c_float),
        ("layer", ctypes.POINTER(_Layer)),
        ("final_norm", _Pointer),
    ]  # fmt: skip


class _Step(ctypes.Structure):
    _fields_ = [
        *((name, _Int) for name in ("rows", "threads", "table_width", "most_pieces")),
        *((name, _Pointer) for name in (
            "cosine", "sine", "slots", "tables", "contexts", "hidden", "qkv", "attended", "activated", "normed",
            "pieces",
        )),
    ]  # fmt: skip


class LayerWeights(Protocol):
    """One layer's weights, float32 and contiguous; every projection is [out, in]."""

    @property
    def input_norm(self) -> Tensor: ...
    @property
    def qkv(self) -> Tensor: ...
    @property
    def qkv_bias(self) -> Tensor | None: ...
    @property
    def output(self) -> Tensor: ...
    @property
    def output_bias(self) -> Tensor | None: ...
    @property
    def mlp_norm(self) -> Tensor: ...
    @property
    def gate_up(self) -> Tensor: ...
    @property
    def gate_up_bias(self) -> Tensor | None: ...
    @property
    def down(self) -> Tensor: ...
    @property
    def down_bias(self) -> Tensor | None: ...


@dataclass(frozen=True)
class NativeShape:
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    epsilon: float


class NativeDecoder:
    """The compiled layers over given weights. Only one thread may call it: the scratch space is its own."""

    def __init__(self, shape: NativeShape, layers: Sequence[LayerWeights], norm: Tensor) -> None:
        """Raises: NativeUnavailable with the reason why C cannot serve these weights here."""
        _refuse(shape, norm)
        library = load_library()
        self._forward = library.upright_decoder
        self._forward.argtypes = [ctypes.POINTER(_Decoder), ctypes.POINTER(_Step)]
        self._forward.restype = None
        self._linear = library.upright_linear
        self._linear.argtypes = [_Pointer] * 4 + [_Int] * 3
        self._linear.restype = None
        self._split: int = library.upright_split()
        self._shape = shape
        self._kept = (tuple(layers), norm)  # the structures below hold bare addresses
        self._layers = (_Layer * len(layers))(*(_addresses(layer) for layer in layers))
        self._decoder = _Decoder(
            len(layers), shape.hidden, shape.intermediate, shape.heads, shape.kv_heads, shape.head_size, 0,
            shape.epsilon, self._layers, norm.data_ptr(),
        )  # fmt: skip
        self._cache: KVCache | None = None
        width = (shape.heads + 2 * shape.kv_heads) * shape.head_size
        self._qkv = torch.empty(MAX_ROWS, width)
        self._attended = torch.empty(MAX_ROWS, shape.heads * shape.head_size)
        self._activated = torch.empty(MAX_ROWS, shape.intermediate)
        self._normed = torch.empty(torch.get_num_threads(), MAX_ROWS, shape.hidden)
        self._pieces = torch.empty(0)

    def forward(self, hidden: Tensor, rotation: Rotation, kv: KVCache, batch: PagedBatch) -> Tensor:
        """Final hidden states [T, hidden], normalised, of embeddings [T, hidden]; T is at most MAX_ROWS.

        Writes the new keys and values to `kv`, like the reference.
        """
        if kv is not self._cache:
            self._point_to(kv)
        rows = hidden.shape[0]
        tables, contexts = _by_row(batch)
        most_pieces = -(-max(batch.context_lengths) // self._split)
        needed = rows * most_pieces * self._shape.heads * (self._shape.head_size + 2)
        if self._pieces.numel() < needed:
            self._pieces = torch.empty(2 * needed)
        states = hidden.contiguous().clone()
        cosine, sine = rotation.cosine.contiguous(), rotation.sine.contiguous()
        step = _Step(
            rows, self._normed.shape[0], tables.shape[1], most_pieces, cosine.data_ptr(), sine.data_ptr(),
            batch.slot_mapping.data_ptr(), tables.data_ptr(), contexts.data_ptr(), states.data_ptr(),
            self._qkv.data_ptr(), self._attended.data_ptr(), self._activated.data_ptr(), self._normed.data_ptr(),
            self._pieces.data_ptr(),
        )  # fmt: skip
        self._forward(self._decoder, step)
        return states

    def linear(self, x: Tensor, weight: Tensor) -> Tensor:
        """x [T, in] times weight [out, in] transposed: [T, out]."""
        x = x.contiguous()
        result = torch.empty(x.shape[0], weight.shape[0])
        self._linear(x.data_ptr(), weight.data_ptr(), None, result.data_ptr(), x.shape[0], *weight.shape)
        return result

    def _point_to(self, kv: KVCache) -> None:
        for layer, cache in zip(self._layers, kv.layers, strict=True):
            layer.cache = cache.data_ptr()
        self._decoder.block_size = kv.block_size
        self._cache = kv


def _refuse(shape: NativeShape, norm: Tensor) -> None:
    """Raises: NativeUnavailable for weights that the C code is not made for."""
    if norm.device.type != "cpu":
        raise NativeUnavailable(f"made for CPUs, not {norm.device.type}")
    if norm.dtype != torch.float32:
        raise NativeUnavailable(f"float32 only, not {str(norm.dtype).removeprefix('torch.')}")
    group = shape.heads // shape.kv_heads
    if group > MAX_GROUP:
        raise NativeUnavailable(f"{group} query heads share a key head, at most {MAX_GROUP} may")


def _addresses(layer: LayerWeights) -> _Layer:
    tensors = [getattr(layer, field[0]) for field in _Layer._fields_[:-1]]
    for tensor in tensors:
        if tensor is not None and not (tensor.is_contiguous() and tensor.dtype == torch.float32):
            raise ValueError("native layers take contiguous float32 weights")
    return _Layer(*(tensor.data_ptr() if tensor is not None else None for tensor in tensors), None)


def _by_row(batch: PagedBatch) -> tuple[Tensor, Tensor]:
    """Each row's block table, int32 [T, blocks], and the tokens that it attends to, int32 [T]."""
    if batch.decode_only:
        return batch.block_tables, batch.contexts
    sequences = [index for index, new in enumerate(batch.query_lengths) for _ in range(new)]
    contexts = [
        context - new + at + 1
        for new, context in zip(batch.query_lengths, batch.context_lengths, strict=True)
        for at in range(new)
    ]
    return batch.block_tables[sequences].contiguous(), torch.tensor(contexts, dtype=torch.int32)
