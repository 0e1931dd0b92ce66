"""Error texts of CUDA, C libraries and the operating system, and what a person can do about each.

The first that fits is taken, so the particular stand before the general.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LAUNCH_BLOCKING = (
    "a GPU reports such an error late, so the line that is named may be innocent: reproduce it with "
    "`CUDA_LAUNCH_BLOCKING=1 upright serve …`, which is slower and names the right one"
)
XID = (
    "look at the driver's own word with `dmesg | grep -i xid`: 13 and 31 mean a program's fault; 48, 63, 64, 74, 79, "
    "94 and 95 mean the card, its memory or its connection"
)
OTHER_KERNELS = "`--attention reference` takes other kernels: slower, and it shows whether they are the reason"


@dataclass(frozen=True)
class KnownError:
    """`advice` may name `{driver}`, `{gpus}`, `{torch}` and `{batched}` (--max-num-batched-tokens as it was)."""

    pattern: re.Pattern[str]
    advice: tuple[str, ...]


def _known(pattern: str, *advice: str) -> KnownError:
    return KnownError(re.compile(pattern, re.IGNORECASE), advice)


KNOWN_ERRORS = (
    _known(
        r"Float16Overflow|float16 overflow(?:s|ed) in ",
        "float16 holds numbers up to 65,504, and this checkpoint goes beyond, as many do that were trained in "
        "bfloat16; the engine ended before a token came of it",
        "layers that a wider range helps have it from the next engine on, which costs next to nothing and is kept "
        "until --forget; if this comes back, use --dtype bfloat16 where the GPU has it, or --dtype float32",
    ),
    _known(
        r"no kernel image is available|not compatible with the current PyTorch installation",
        "PyTorch {torch} has no code for this GPU ({gpus}): install a build of PyTorch for an older CUDA, such as "
        "those of https://download.pytorch.org/whl/cu126, or use --device cpu",
    ),
    _known(
        r"driver version is insufficient|NVIDIA driver on your system is too old|unsupported toolchain",
        "the GPU's driver ({driver}) is too old for PyTorch {torch}: update the driver, or install a build of PyTorch "
        "for an older CUDA",
    ),
    _known(
        r"launch timed out",
        "the GPU also drives a display, and the driver ends work on it that takes seconds: lower "
        "--max-num-batched-tokens (now {batched}), or let another GPU, or none, drive the display",
    ),
    _known(
        r"uncorrectable ECC|double.bit",
        "the GPU's memory is failing: see `nvidia-smi -q -d ECC,PAGE_RETIREMENT,ROW_REMAPPER`; reset the card, and "
        "replace it if that comes back",
    ),
    _known(
        r"device-side assert",
        "an index was out of range on the GPU; such an error comes from a model's files that do not fit each other "
        "(tokenizer, vocabulary, configuration) or from a fault in Upright",
        LAUNCH_BLOCKING,
    ),
    _known(
        r"illegal memory access|misaligned address|unspecified launch failure|an illegal instruction was encountered|"
        r"hardware stack error|invalid program counter",
        LAUNCH_BLOCKING,
        OTHER_KERNELS,
        XID,
    ),
    _known(
        r"device\(?s?\)? (?:is|are) busy or unavailable|exclusive.process",
        "another process has the GPU, or its compute mode is exclusive: see `nvidia-smi`; `nvidia-smi -c 0` allows "
        "several processes",
    ),
    _known(
        r"fallen off the bus|CUDA error: unknown error|no CUDA-capable device|CUDA error: initialization error|"
        r"CUDA error: system not yet initialized",
        "the GPU has gone, or its driver has: see whether `nvidia-smi` still lists it; check power supply, riser and "
        "temperature, and lower its power limit (`nvidia-smi -pl WATTS`) if it goes under load",
        XID,
    ),
    _known(
        r"\bNCCL\b|ProcessGroupNCCL",
        "GPUs could not talk to each other: `NCCL_DEBUG=INFO upright serve …` says why; in a container give "
        "--shm-size=1g or --ipc=host, and try NCCL_P2P_DISABLE=1 where the cards have no direct path",
    ),
    _known(
        r"CUBLAS_STATUS|CUDNN_STATUS|cuDNN error|CUFFT_|CUSOLVER_STATUS",
        "a CUDA library failed; most often GPU memory is short for its workspace: give the cache less with "
        "--kv-cache-memory",
        LAUNCH_BLOCKING,
    ),
    _known(r"CUDA error|CUDA driver error|AcceleratorError|cudaError", LAUNCH_BLOCKING, XID),
    _known(
        r"No space left on device|Disk quota exceeded",
        "a disk is full: see `df -h` and `df -i`, for the home, /tmp and /dev/shm",
    ),
    _known(r"Too many open files", "it ran out of file descriptors: raise the limit with `ulimit -n 65536`"),
    _known(
        r"can't start new thread|Thread creation failed|pthread_create|Resource temporarily unavailable",
        "it could not start a thread: raise the limit on processes (`ulimit -u`, TasksMax of systemd, --pids-limit of "
        "a container), or use fewer with --threads",
    ),
    _known(
        r"Input/output error|Stale file handle|Structure needs cleaning",
        "a disk or network file system fails: see `dmesg` and `smartctl -a`, and move the model to another disk",
    ),
    _known(
        r"cannot open shared object file|undefined symbol|GLIBC(?:XX)?_[\d.]+'? not found|invalid ELF header|"
        r"ModuleNotFoundError|ImportError",
        "the installation is broken or mixed: install Upright and PyTorch ({torch}) anew, in a fresh environment",
    ),
    _known(
        r"double free|free\(\): |malloc\(\)|malloc_consolidate|munmap_chunk|corrupted size|corrupted double-linked|"
        r"stack smashing|heap corruption",
        "native code had overwritten memory that was not its own, at some time before: the place where it ended may be "
        "innocent",
    ),
    _known(r"terminate called|libc\+\+abi", "a C++ library threw what nobody caught; the log's last lines say what"),
)


def known_error(text: str) -> KnownError | None:
    """The first known error that `text` shows."""
    return next((known for known in KNOWN_ERRORS if known.pattern.search(text)), None)
