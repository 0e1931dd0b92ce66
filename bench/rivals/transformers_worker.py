"""transformers' `generate` in a process of its own: transformers_worker.py MODEL_DIR THREADS.

Says {"ready": …} on standard output, then answers each line {"prompts": […], "max_tokens": N} with
{"seconds": …, "prompt_tokens": …, "output_tokens": …}. Prompts of one line are one batch.
"""

from __future__ import annotations

import json
import sys
import time

import torch
import transformers


def main() -> None:
    directory, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None  # generate to max_tokens, whatever the model says
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    print(json.dumps({"ready": f"transformers {transformers.__version__}"}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        began = time.perf_counter()
        batch = tokenizer(order["prompts"], return_tensors="pt", padding=True)
        output = model.generate(**batch, max_new_tokens=order["max_tokens"], do_sample=False)
        new = output[:, batch["input_ids"].shape[1] :]
        tokenizer.batch_decode(new)
        answer = {
            "seconds": time.perf_counter() - began,
            "prompt_tokens": int(batch["attention_mask"].sum()),
            "output_tokens": new.numel(),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
