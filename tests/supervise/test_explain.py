"""What an incident's facts rule out, and what is advised."""

from __future__ import annotations

from typing import Any

import pytest

from upright.supervise.incidents.explain import explain
from upright.supervise.incidents.incident import Environment, Incident, RequestFacts, StepFacts
from upright.supervise.incidents.known_errors import KNOWN_ERRORS
from upright.supervise.incidents.stack_frames import innermost_frame, raised_at

GIB = 2**30
CPU = {
    "device": "cpu", "dtype": "float32", "max_num_seqs": 32, "max_num_batched_tokens": 512, "kv_cache_bytes": 4 * GIB,
    "max_pixels": None, "attention": None, "native": True, "threads": 4,
}  # fmt: skip
CUDA = CPU | {"device": "cuda", "dtype": "float16", "kv_cache_bytes": None, "max_num_batched_tokens": 8192}
SEGFAULT = """Fatal Python error: Segmentation fault

Thread 0x00007f10 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait

Current thread 0x00007f11 (most recent call first):
  File "/opt/venv/lib/python3.11/site-packages/numpy/core/multi.py", line 7 in dot
  File "/srv/upright/src/upright/kernels/native/decoder.py", line 130 in forward
  File "/srv/upright/src/upright/engine/runner.py", line 44 in execute

Extension modules: numpy.core (total: 1)
"""


def environment(options: dict[str, Any] = CPU, **changes: Any) -> Environment:
    facts: dict[str, Any] = {
        "upright": "0.1.0", "python": "3.11.7", "torch": "2.11.0", "platform": "Linux", "cpu": "Old CPU", "cores": 4,
        "memory_total": 16 * GIB, "memory_available": 12 * GIB, "model": "/models/m", "options": options,
    }  # fmt: skip
    return Environment(**facts | changes)


def step(**changes: Any) -> StepFacts:
    facts: dict[str, Any] = {
        "phase": "step", "number": 812, "done": False, "running_for": 0.2, "expected": 0.3, "deadline": None,
        "sequences": 2, "tokens": 64, "images": 0,
    }  # fmt: skip
    return StepFacts(**facts | changes)


def request(name: str = "req-1", **changes: Any) -> RequestFacts:
    facts: dict[str, Any] = {
        "id": name, "prompt_tokens": 100, "output_tokens": 7, "images": 0, "image_tokens": 0, "aboard": True,
        "deaths": 1, "suspected": False,
    }  # fmt: skip
    return RequestFacts(**facts | changes)


def incident(**changes: Any) -> Incident:
    facts: dict[str, Any] = {
        "id": "20261121-231522-3f9a", "when": "2026-11-21T23:15:22+08:00", "zone": "CST, UTC+08:00", "serving": True,
        "cause": "crash", "how": "exit code 1", "pid": 4711, "uptime": 132.0, "environment": environment(),
    }  # fmt: skip
    if "signal" in changes:
        facts |= {"how": f"killed by {changes['signal']}"}
    return Incident(**facts | changes)


def told(**changes: Any) -> tuple[str, str]:
    ruled_out, advice = explain(incident(**changes))
    assert advice
    assert len(set(advice)) == len(advice)
    return "\n".join(ruled_out), "\n".join(advice)


# ---- ended from outside ----------------------------------------------------------------------------------------------


def test_sigkill_without_an_oom_kill_was_someone() -> None:
    ruled_out, advice = told(cause="outside", signal="SIGKILL", oom_kills=0)
    assert "the kernel's out-of-memory killer: 0 kills counted" in ruled_out
    assert "the end of the whole container" in ruled_out
    assert "sent SIGKILL: look for a watchdog" in advice
    assert "docker stop" not in advice
    assert "args->sig == 9" in advice
    assert "--kv-cache-memory" not in advice


def test_sigkill_where_kills_cannot_be_counted_rules_nothing_out() -> None:
    ruled_out, advice = told(cause="memory", signal="SIGKILL", oom_kills=None)
    assert "out-of-memory" not in ruled_out
    assert "cannot be counted" in advice
    assert "dmesg" in advice
    assert "sent SIGKILL" in advice


def test_sigkill_with_an_oom_kill_says_what_to_make_smaller() -> None:
    ruled_out, advice = told(cause="memory", signal="SIGKILL", oom_kills=1, resident_bytes=9 * GIB)
    assert "out-of-memory" not in ruled_out
    assert "it held 9.00 GiB when last seen, 12.00 GiB of 16.00 GiB are free" in advice
    assert "--kv-cache-memory 2048MiB (now 4.00 GiB)" in advice
    assert "--max-num-seqs 16 (now 32)" in advice
    assert "sent SIGKILL" not in advice


def test_a_guard_in_user_space_is_named_where_memory_was_short() -> None:
    short = environment(memory_available=12 * GIB)
    _, advice = told(cause="outside", signal="SIGKILL", oom_kills=0, resident_bytes=int(11.5 * GIB), environment=short)
    assert "systemd-oomd" in advice
    assert "lower --kv-cache-memory" in advice


def test_sigterm_is_for_the_server() -> None:
    assert "send SIGTERM to `upright serve`" in told(cause="outside", signal="SIGTERM")[1]


def test_a_stopped_process_was_stopped_by_someone() -> None:
    ruled_out, advice = told(cause="outside", how="stopped for 2.1 s (SIGSTOP or a debugger)", oom_kills=0)
    assert "a loop or a deadlock" in ruled_out
    assert "cpulimit" in advice
    assert "docker pause" in advice


def test_the_fronts_own_sigkill_accuses_nobody() -> None:
    how = "stopped for 2.1 s (SIGSTOP or a debugger)"
    ruled_out, advice = told(cause="outside", signal="SIGKILL", how=how, oom_kills=0)
    assert "Upright ended the engine itself" in ruled_out
    assert "out-of-memory killer" not in ruled_out
    assert "sent SIGKILL" not in advice


# ---- crashes ---------------------------------------------------------------------------------------------------------


def test_a_segmentation_fault_names_our_frame_and_what_to_leave_out() -> None:
    ruled_out, advice = told(signal="SIGSEGV", stacks=SEGFAULT, step=step())
    assert "it crashed in upright/kernels/native/decoder.py:130 (forward)" in advice
    assert "called into numpy/core/multi.py:7 (dot)" in advice
    assert "--attention sdpa" in advice
    assert "memtest86+" in advice
    assert "the GPU and its driver" in ruled_out
    assert "the vision tower: step 812 encoded no image" in ruled_out
    assert "compiles on the machine" not in ruled_out


def test_kernels_that_were_off_are_ruled_out() -> None:
    off = environment(CPU | {"native": False})
    assert "compiles on the machine: they were not in use" in told(signal="SIGSEGV", environment=off)[0]


def test_a_crash_without_stacks_asks_for_a_core_dump() -> None:
    assert "coredumpctl gdb 4711" in told(signal="SIGSEGV")[1]


def test_an_illegal_instruction_clears_the_compiled_kernels() -> None:
    _, advice = told(signal="SIGILL", stacks=SEGFAULT)
    assert "upright/native" in advice
    assert "Old CPU" in advice
    _, advice = told(signal="SIGILL", environment=environment(CUDA))
    assert "upright/native" not in advice


def test_a_bus_error_while_loading_is_about_files() -> None:
    assert "get the model again (/models/m)" in told(signal="SIGBUS", serving=False)[1]
    assert "/dev/shm" in told(signal="SIGBUS")[1]


def test_an_abort_is_read_from_the_log() -> None:
    _, advice = told(signal="SIGABRT", log=["double free or corruption (!prev)"])
    assert "memory that was not its own" in advice


def test_an_exception_that_nobody_knows_is_reported() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/x/src/upright/engine/core.py", line 9, in step\n    assert 0\n'
    )
    ruled_out, advice = told(exception="AssertionError: blocks leak", traceback=trace, exit_code=1)
    assert "a kill from outside: it ended by itself, with AssertionError" in ruled_out
    assert "upright/engine/core.py:9 (step)" in advice
    assert "upright incidents 20261121-231522-3f9a" in advice


def test_an_exit_without_a_word() -> None:
    assert "exit code 7 and no exception" in told(exit_code=7, how="exit code 7")[1]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("torch.AcceleratorError: CUDA error: an illegal memory access was encountered", "CUDA_LAUNCH_BLOCKING=1"),
        ("torch.AcceleratorError: CUDA error: device-side assert triggered", "out of range"),
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "GTX 970"),
        ("RuntimeError: CUDA error: the launch timed out and was terminated", "--max-num-batched-tokens (now 8192)"),
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "ROW_REMAPPER"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 11040)", "(470.1)"),
        ("RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "--kv-cache-memory"),
        ("RuntimeError: CUDA error: something new", "xid"),
        ("torch.distributed.DistBackendError: NCCL error in: x.cpp:1", "NCCL_DEBUG=INFO"),
        ("OSError: [Errno 28] No space left on device", "df -h"),
        ("OSError: [Errno 24] Too many open files", "ulimit -n"),
        ("RuntimeError: can't start new thread", "--pids-limit"),
        ("Float16Overflow: float16 overflowed in layer 3 of the decoder: …", "--dtype bfloat16"),
        ("ImportError: libcudart.so.12: cannot open shared object file", "installation is broken"),
    ],
)
def test_known_errors(error: str, expected: str) -> None:
    gpu = environment(CUDA, driver="470.1", gpus=["NVIDIA GeForce GTX 970, 1.00 GiB of 4.00 GiB in use"])
    _, advice = told(exception=error, exit_code=1, environment=gpu)
    assert expected in advice
    assert "report it as a fault of Upright" not in advice


def test_every_known_error_can_be_told() -> None:
    for known in KNOWN_ERRORS:
        for advice in known.advice:
            advice.format(driver="", gpus="", torch="", batched="")


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_gpu_memory_names_the_amount_the_fragments_and_the_options() -> None:
    error = (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 7.92 GiB "
        "of which 1.00 GiB is free. 900.00 MiB is reserved by PyTorch but unallocated."
    )
    seen = request(images=2, image_tokens=3000)
    gpu = environment(CUDA | {"max_pixels": 2000000}, gpus=["GTX 1070, 1.00 GiB of 8.00 GiB in use"])
    _, advice = told(cause="memory", exception=error, exit_code=1, environment=gpu, requests=[seen], step=step())
    assert "it asked for 2.00 GiB more" in advice
    assert "GTX 1070" in advice
    assert "expandable_segments" in advice
    assert "--max-num-batched-tokens 4096 (now 8192)" in advice
    assert "--max-pixels 1000000 (now 2000000)" in advice
    assert "--gpu-memory-utilization 0.8 (now 0.9)" in advice
    assert "report it as a fault" not in advice


def test_a_refused_allocation_on_a_machine_with_room_points_at_a_limit() -> None:
    error = "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 1073741824 bytes."
    _, advice = told(cause="memory", exception=error, exit_code=1, resident_bytes=2 * GIB)
    assert "ulimit -v" in advice


def test_dying_of_memory_while_loading_offers_a_smaller_format() -> None:
    ruled_out, advice = told(cause="memory", signal="SIGKILL", oom_kills=1, serving=False)
    assert "a request: it died before it served any" in ruled_out
    assert "--dtype bfloat16" in advice


# ---- hangs -----------------------------------------------------------------------------------------------------------


def test_a_hang_that_wrote_its_stacks_was_running() -> None:
    late = step(running_for=12.1, expected=0.3, deadline=10.0, images=1)
    aboard = request(images=1, image_tokens=2500)
    ruled_out, advice = told(
        cause="hang", signal="SIGKILL", how="step 812 does not end after 12.1 s", stacks=SEGFAULT, step=late,
        requests=[aboard], oom_kills=0,
    )  # fmt: skip
    assert "Upright ended the engine itself (step 812 does not end after 12.1 s)" in ruled_out
    assert "it wrote its stacks" in ruled_out
    assert "step 812 had run for 12.1 s where 0.3 s were expected, and 10.0 s were allowed" in advice
    assert "numpy/core/multi.py:7 (dot), called from upright/kernels/native/decoder.py:130" in advice
    assert "encoded 1 image, of up to 2500 tokens" in advice
    assert "--hang-patience 25" in advice
    assert "--threads 3 leaves one of 4 cores free" in advice
    assert "sent SIGKILL" not in advice


def test_a_hang_without_stacks_was_stuck_in_the_kernel() -> None:
    ruled_out, advice = told(cause="hang", signal="SIGKILL", how="no sign of life after 12.1 s")
    assert "it wrote its stacks" not in ruled_out
    assert "stuck inside the kernel" in advice


def test_a_driver_that_does_not_answer_is_the_first_suspect() -> None:
    stuck = environment(CUDA, gpus=["nvidia-smi does not answer: no answer within 5 s"])
    assert "nvidia-smi --gpu-reset" in told(cause="hang", how="no sign of life after 12.1 s", environment=stuck)[1]


def test_a_swapping_machine() -> None:
    full = environment(memory_available=GIB // 4)
    assert "swapping" in told(cause="hang", how="no sign of life after 12.1 s", environment=full)[1]


# ---- requests --------------------------------------------------------------------------------------------------------


def test_what_was_not_there_is_ruled_out() -> None:
    assert "a request: none was in flight" in told()[0]
    assert "it died before it served any" in told(serving=False)[0]
    assert "the engine was idle" in told(step=step(phase="idle"), requests=[request(aboard=False)])[0]
    assert "step 812 was done" in told(step=step(done=True), requests=[request()])[0]
    ruled_out, _ = told(step=step(images=1), requests=[request()])
    assert "vision tower" not in ruled_out
    assert "a request" not in ruled_out


def test_suspects_are_named_and_a_crowd_is_not() -> None:
    crowd = [request("a"), request("b", suspected=True, deaths=3, images=2), request("c")]
    _, advice = told(signal="SIGSEGV", requests=crowd)
    assert "request b (100 prompt tokens, 2 images) was aboard at 3 deaths" in advice
    assert "--record-content" in advice
    assert "request a" not in advice
    many = [request(str(number), suspected=True) for number in range(18)]
    _, advice = told(signal="SIGSEGV", requests=many)
    assert "any of the 18 suspects in the table may be the reason" in advice
    assert "was aboard at" not in advice
    assert "request a (" in told(signal="SIGSEGV", requests=[request("a"), request("b", aboard=False)])[1]
    assert "request a" not in told(signal="SIGSEGV", requests=[request("a"), request("b")])[1]
    assert "request a" not in told(cause="outside", signal="SIGKILL", oom_kills=0, requests=[request("a")])[1]


def test_a_refusal_comes_first_and_stands_alone() -> None:
    refusal = "--device cuda, but this PyTorch is built without CUDA; use --device cpu"
    ruled_out, advice = told(serving=False, start_failure=refusal, how=refusal, exit_code=1)
    assert advice == refusal
    assert "a crash: the engine ended by itself, and says why" in ruled_out


# ---- frames ----------------------------------------------------------------------------------------------------------


def test_frames_come_from_the_last_current_thread() -> None:
    later = SEGFAULT + '\nCurrent thread 0x1 (most recent call first):\n  File "/a/src/upright/x.py", line 3 in f\n'
    assert str(innermost_frame(later)) == "upright/x.py:3 (f)"
    assert innermost_frame("") is None
    assert innermost_frame("Killed") is None


def test_a_chained_traceback_is_read_from_its_end() -> None:
    one = 'Traceback (most recent call last):\n  File "/v/lib/python3.11/site-packages/torch/{}.py", line 1, in f\n'
    assert str(raised_at(one.format("a") + "During handling …\n\n" + one.format("b"))) == "torch/b.py:1 (f)"
    assert raised_at("") is None
