"""`upright serve` with an engine that computes nothing (pretend_engine.py); takes the same command line."""

from __future__ import annotations

import sys
from pathlib import Path

from upright.cli import main
from upright.supervise import engine_process

if __name__ == "__main__":
    engine_process.COMMAND = (sys.executable, str(Path(__file__).with_name("pretend_engine.py")))  # type: ignore[assignment]
    main.run()
