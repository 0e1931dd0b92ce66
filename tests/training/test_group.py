"""Processes that train together, on the CPU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import torch

from training.group import Group, Place

TRAINS = """
import json, torch
from training.group import Group, Place
place = Place.here()
with Group(place) as group:
    parts = [torch.zeros(2, 3, requires_grad=True), torch.zeros(4, requires_grad=True)]
    (parts[0] * (place.rank + 1)).sum().backward()  # the first gets none for the other part
    if place.rank:
        (parts[1] * 5).sum().backward()
    group.average_gradients(parts)
    print(json.dumps([[part.grad.tolist() for part in parts], group.told(10.0 + place.rank)]))
"""


def test_gradients_become_their_mean_and_the_first_tells_the_time() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "CUDA_VISIBLE_DEVICES": ""}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINS],
            env=os.environ | shared | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [json.loads(process.communicate(timeout=120)[0]) for process in processes]

    assert told[0] == told[1] == [[[[1.5] * 3] * 2, [2.5] * 4], 10.0]


def test_one_that_trains_alone_changes_nothing() -> None:
    part = torch.zeros(3, requires_grad=True)
    (part * 2).sum().backward()
    with Group(Place(0, 1)) as group:
        group.average_gradients([part])
        assert part.grad is not None and part.grad.tolist() == [2.0] * 3
        assert group.told(7.0) == 7.0
