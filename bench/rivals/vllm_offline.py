#!/usr/bin/env python3
"""vLLM without HTTP on the cases of `upright bench`. Usage: vllm_offline.py MODEL --json FILE [--only WORDS] [--quick]

To be run with a kit (vllm_gpu_kit.sh) and this checkout's src on PYTHONPATH. Random weights, greedy, token ids in,
answers of fixed length. Pictures go in decoded, so vLLM is spared what Upright's rows include.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import time
from pathlib import Path
from typing import Any

from PIL import Image
from vllm import LLM, SamplingParams

from upright.engine.bench_cases import Case, chosen, picture

IMAGE_PROMPT = (
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Read this page.<|im_end|>\n<|im_start|>assistant\n"
)


def prompts(case: Case, rng: random.Random, seed: int) -> list[Any]:
    if case.image is None:
        return [{"prompt_token_ids": [rng.randrange(1000, 150_000) for _ in range(case.prompt)]}
                for _ in range(case.requests)]  # fmt: skip
    pictures = [Image.open(io.BytesIO(picture(case.image, seed + i))).convert("RGB") for i in range(case.requests)]
    return [{"prompt": IMAGE_PROMPT, "multi_modal_data": {"image": one}} for one in pictures]


def measure(llm: LLM, case: Case, rng: random.Random, seed: int) -> dict[str, Any]:
    params = SamplingParams(
        temperature=0, max_tokens=case.output, min_tokens=case.output, ignore_eos=True, detokenize=False
    )
    asked = prompts(case, rng, seed)
    began = time.perf_counter()
    answers = llm.generate(asked, params, use_tqdm=False)
    seconds = time.perf_counter() - began
    produced = sum(len(answer.outputs[0].token_ids) for answer in answers)
    given = sum(len(answer.prompt_token_ids or ()) for answer in answers)
    return {
        "case": case.name,
        "requests": case.requests,
        "seconds": seconds,
        "ms_per_step": 1000 * seconds / case.output,
        "output_tokens_per_second": produced / seconds,
        "prompt_tokens_per_second": given / seconds,
        "requests_per_second": case.requests / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--utilization", type=float, default=0.9, help="share of the GPU's memory")
    options = parser.parse_args()
    began = time.perf_counter()
    llm = LLM(
        model=options.model, load_format="dummy", dtype="bfloat16", max_model_len=8192, max_num_seqs=256,
        gpu_memory_utilization=options.utilization,
        limit_mm_per_prompt={"image": 1, "video": 0}, mm_processor_kwargs={"max_pixels": 2007040},
    )  # fmt: skip
    found: dict[str, Any] = {
        "start_seconds": time.perf_counter() - began,
        "utilization": options.utilization,
        "rows": [],
    }
    rng, seed = random.Random(0), 0
    for case in chosen(tuple(word for word in options.only.split(",") if word), options.quick, "cuda"):
        few = Case(case.name, min(4, case.requests), case.prompt, min(4, case.output), case.image)
        try:
            measure(llm, few, rng, seed)
            found["rows"].append(measure(llm, case, rng, seed + 1000))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other cases are measured
            found["rows"].append({"case": case.name, "error": f"{type(error).__name__}: {error}"})
        seed += 2000
        options.json.write_text(json.dumps(found))  # after each, so that a limit of time costs one case


if __name__ == "__main__":
    main()
