#!/usr/bin/env bash
# Makes a kit of vLLM for a GPU machine that has torch 2.11 (CUDA 13), transformers and Python 3.12, and no network.
#
#   vllm_gpu_kit.sh fetch DIRECTORY       here: about 200 MB of files, none over 50 MB, in DIRECTORY
#   vllm_gpu_kit.sh unpack DIRECTORY KIT  there: KIT/site has vLLM and KIT/site2 what it needs; put both on PYTHONPATH
#
# FlashAttention 2's library is left out to make it smaller; an H100 uses FlashAttention 3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=0.23.0

fetch() {
    local to=$1 work platforms=()
    work=$(mktemp -d)
    trap "rm -rf '$work'" EXIT  # now: the name is gone when it runs
    mkdir -p "$to/wheels"
    for glibc in 17 24 27 28 31 34 35 39; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
    platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64)
    local pip=(python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp)
    "${pip[@]}" --abi abi3 "${platforms[@]}" -d "$work" "vllm==$version"
    "${pip[@]}" "${platforms[@]}" -d "$to/wheels" -r "$here/vllm_gpu_wheels.txt"
    mkdir "$work/site"
    python3 -m zipfile -e "$work"/vllm-*.whl "$work/site"
    rm -f "$work"/site/vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so
    find "$work/site" -name '*cpython-31[0134]*' -delete
    tar -C "$work/site" -cf - . | xz -T0 -5 | split -b 50M - "$to/vllm.tar.xz."
    du -sh "$to"
}

unpack() {
    local from=$1 kit=$2
    mkdir -p "$kit/site" "$kit/site2"
    cat "$from"/vllm.tar.xz.* | python3 -c '
import lzma, sys, tarfile
tarfile.open(fileobj=lzma.open(sys.stdin.buffer), mode="r|").extractall(sys.argv[1])' "$kit/site"
    python3 -m pip install -q --no-index --no-deps --no-compile --target "$kit/site2" "$from"/wheels/*.whl
}

case ${1:-} in
    fetch) fetch "${2:?DIRECTORY}" ;;
    unpack) unpack "${2:?DIRECTORY}" "${3:?KIT}" ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
