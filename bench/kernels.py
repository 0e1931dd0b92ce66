#!/usr/bin/env python3
"""All kernels on this GPU: checked against a reference, then timed beside what the device reaches.

Usage: kernels.py [--quick] [--only TEXT] [--groups attention,vision,…] [--json FILE]

Times are of the device alone. "share" is of the rate of a copy or a sum, or of that of a large product, whatever bounds
the case. A case that fails its check or raises is printed as FAIL and the rest goes on; the exit code says so.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from kernel_timing import Case, Peaks, measure_peaks, seconds

GROUPS = sorted(file.stem for file in (Path(__file__).parent / "kernel_cases").glob("[!_]*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the cases that count, in less than 100 seconds")
    parser.add_argument("--only", default="", help="cases whose name or candidate contains this")
    parser.add_argument("--groups", default=",".join(GROUPS), help=f"some of {', '.join(GROUPS)}")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after so many seconds")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("these kernels are for CUDA, and there is no CUDA device", file=sys.stderr)
        return 2
    device = torch.device("cuda", torch.cuda.current_device())
    began = time.monotonic()
    with torch.inference_mode():
        peaks = measure_peaks(device)
        print(
            f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}: "
            f"memory {peaks.bandwidth / 1e12:.2f} TB/s, bf16 product {peaks.flops / 1e12:.0f} TFLOP/s"
        )
        print(f"{'case':44} {'candidate':22} {'µs':>9} {'TB/s':>6} {'TFLOP/s':>8} {'share':>6} {'error':>8}")
        results = []
        for group in arguments.groups.split(","):
            for case in _cases(group, device, arguments.quick):
                if arguments.only not in case.name and arguments.only not in case.candidate:
                    continue
                if time.monotonic() - began > arguments.seconds:
                    print(f"out of time before {case.name} {case.candidate}")
                    break
                results.append({"group": group} | _result(case, peaks))
            gc.collect()
            torch.cuda.empty_cache()
    failures = [f"{result['case']} {result['candidate']}" for result in results if "failure" in result]
    print(f"{len(results)} cases in {time.monotonic() - began:.0f} s; {len(failures)} failed {'; '.join(failures)}")
    out = os.environ.get("OUT")
    file = arguments.json or (Path(out) / "kernels.json" if out else None)
    if file is not None:
        told = {"device": torch.cuda.get_device_name(device), "torch": torch.__version__, "results": results}
        file.write_text(json.dumps(told | {"bandwidth": peaks.bandwidth, "flops": peaks.flops}, indent=1))
    return 1 if failures else 0


def _cases(group: str, device: torch.device, quick: bool) -> Iterator[Case]:
    """The cases of a room; a room that fails does not end the run."""
    try:
        for case in importlib.import_module(f"kernel_cases.{group}").cases(device, quick):
            yield case if isinstance(case, Case) else Case(case[0], "", *case[1:])
    except Exception:  # noqa: BLE001 - the other rooms go on
        print(f"FAIL: the cases of {group} ended:\n{traceback.format_exc()}")


def _result(case: Case, peaks: Peaks) -> dict[str, object]:
    result: dict[str, object] = {"case": case.name, "candidate": case.candidate}
    label = f"{case.name:44} {case.candidate:22}"
    try:
        error = None
        if case.check is not None:
            error = case.check()
            if not error < case.tolerance:
                print(f"{label} FAIL: relative error {error:.2e}, at most {case.tolerance:.0e} is right", flush=True)
                return result | {"failure": f"error {error:.2e}"}
        taken = seconds(case.run) if case.clock is None else case.clock()
    except Exception as failure:  # noqa: BLE001 - the other cases go on
        torch.cuda.synchronize()
        said = " ".join(str(failure).split())[:200]
        print(f"{label} FAIL: {type(failure).__name__}: {said}", flush=True)
        return result | {"failure": traceback.format_exc()}
    share = max(case.bytes / peaks.bandwidth, case.flop / peaks.flops) / taken
    print(
        f"{label} {taken * 1e6:9.1f} {case.bytes / taken / 1e12:6.2f} {case.flop / taken / 1e12:8.1f} {share:6.1%} "
        f"{'' if error is None else f'{error:8.1e}'}",
        flush=True,
    )
    return result | {"seconds": taken, "bytes": case.bytes, "flop": case.flop, "share": share, "error": error}


if __name__ == "__main__":
    sys.exit(main())
