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
    gradients = torch.full((3,), 1.0 + place.rank)
    group.average(gradients)
    print(json.dumps([gradients.tolist(), group.told(10.0 + place.rank)]))
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

    assert told[0] == told[1] == [[1.5] * 3, 10.0]


def test_one_that_trains_alone_changes_nothing() -> None:
    gradients = torch.full((3,), 2.0)
    with Group(Place(0, 1)) as group:
        group.average(gradients)
        assert gradients.tolist() == [2.0] * 3
        assert group.told(7.0) == 7.0
