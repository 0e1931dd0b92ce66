from __future__ import annotations

from bench.gpu.memory_beside import GIB, line, of_vllm

LOG = """INFO 11-25 gpu_model_runner.py:320] Model loading took 2.16 GiB and 1.2 seconds
INFO 11-25 [gpu_worker.py:481] Available KV cache memory: 62.2 GiB
INFO 11-25 [gpu_worker.py:639] CUDA graph pool memory: 0.28 GiB (actual), 0.3 GiB (estimated), difference: 0.02 GiB.
"""
PARTS = {
    "weights": 2 * GIB, "one step, at most": GIB, "compiled kernels and libraries": GIB // 2, "CUDA graphs": GIB,
    "KV cache": 60 * GIB, "driver and other programs": GIB, "left free": 80 * GIB - 65 * GIB - GIB // 2,
}  # fmt: skip


def test_what_is_neither_weights_nor_cache_nor_graphs() -> None:
    assert line(PARTS, LOG, 0.9) == "memory beside weights, KV cache and graphs: Upright 1.50 GiB, vLLM 7.34 GiB"


def test_a_log_that_does_not_say() -> None:
    assert of_vllm("nothing", 80 * GIB, 0.9) is None
    assert line(PARTS, "nothing", 0.9).endswith("vLLM not told")
