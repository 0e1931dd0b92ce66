"""llama.cpp's own server, as the PyPI package xllamacpp carries it.

Usage: llamacpp_server.py GGUF PORT THREADS CONTEXT SLOTS
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main() -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.port, threads, context, slots = (int(value) for value in sys.argv[2:6])
    parameters.hostnames = ["127.0.0.1"]
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.n_ctx = context * slots
    parameters.n_parallel = slots
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.endpoint_metrics = False
    server = xllamacpp.Server(parameters)
    print("listening on", server.listening_address, flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
