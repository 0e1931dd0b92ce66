#!/usr/bin/env python3
"""From the command to the first token of an answer, on this GPU.

Usage: start_up.py MODEL [--rounds 2] [--kit DIRECTORY] [-- more options of `upright serve`]

The first round has empty caches: no compiled kernels, nothing measured before. With a kit, vLLM is started too, once
more after the first time. Random weights, unless the options say otherwise. JSON to $OUT/start_up.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from servers import FAILURES, parsed, serving, write_json

from upright.cli.bench.http_client import Connection, Target
from upright.cli.bench.served_models import model_name


async def first_token(url: str) -> None:
    """Ask for one token, and wait for it."""
    body = {
        "model": await model_name(url), "max_tokens": 1, "temperature": 0,
        "messages": [{"role": "user", "content": "Hello"}],
    }  # fmt: skip
    connection = Connection(Target.of(url))
    answer = await connection.ask("POST", "/v1/chat/completions", json.dumps(body).encode())
    connection.close()
    if answer.error:
        raise RuntimeError(answer.error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kit", type=Path, help="vLLM, as rivals/vllm_gpu_kit.sh makes it")
    options = parsed(parser)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place)
        caches = {"TRITON_CACHE_DIR": str(kept / "triton"), "XDG_STATE_HOME": str(kept / "state")}
        for name in ("upright", *(["vllm"] if options.kit else [])):
            more = options.more if name == "upright" else []
            own = caches if name == "upright" else {"VLLM_CACHE_ROOT": str(kept / "vllm")}
            for turn in range(options.rounds):
                row = {"server": name, "caches": "empty" if turn == 0 else "warm"}
                log = kept / f"{name}-{turn}.log"
                try:
                    with serving(name, options.model, log, *more, kit=options.kit, **own) as server:
                        asyncio.run(first_token(server.url))
                        row["healthy_seconds"] = round(server.healthy, 2)
                        row["first_token_seconds"] = round(time.monotonic() - server.began, 2)
                        row["says"] = [
                            line.strip() for line in log.read_text(errors="replace").splitlines() if "memory" in line
                        ]
                except FAILURES as error:
                    row["error"] = f"{type(error).__name__}: {error}"
                times = "healthy after {healthy_seconds} s, first token after {first_token_seconds} s"
                print(name, row["caches"], row.get("error") or times.format(**row))
                for line in row.get("says", ()) if name == "upright" else ():
                    print("   ", line)
                rows.append(row)
    write_json("start_up.json", rows)


if __name__ == "__main__":
    main()
