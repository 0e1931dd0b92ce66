"""A row of logits that are not finite ends its request: what was drawn from it would look like text, and mean nothing.

The samplers give `NOT_FINITE` for the token, at next to no cost: they find the greatest logit anyway, which shows it.
The scheduler takes that for an end.
"""

from __future__ import annotations

import torch

from upright.messages import RequestFault

WIDER = {torch.float16: "bfloat16, or float32", torch.bfloat16: "float32"}  # in range or in precision


def not_finite_fault(dtype: torch.dtype) -> RequestFault:
    """What the client is told, and the log. `dtype` is the model's."""
    wider = WIDER.get(dtype)
    name = str(dtype).removeprefix("torch.")
    why = f", or {name} is too narrow for the model" if wider else ""
    what = f", and if that does not help have the server started with --dtype {wider}" if wider else ""
    message = (
        "the model's numbers have become infinite or NaN for this request, so no token can be drawn: its weight files "
        f"are damaged{why}; download them again{what}"
    )
    return RequestFault("not_finite", message, servers=True)
