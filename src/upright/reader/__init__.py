"""The reader: a small vision-language model that ships inside Upright, served where no MODEL is named.

Its files lie beside this one, in the form of any other model's directory; `training/` makes them. With them come two
pictures to try it on, drawn in fonts, texts and layouts that it was never trained on, and what stands in them.
"""

from __future__ import annotations

from pathlib import Path

NAME = "reader"  # under which it is served
DIRECTORY = Path(__file__).parent
PAGE = DIRECTORY / "sample.png"
RECEIPT = DIRECTORY / "receipt.png"
SAMPLES = DIRECTORY / "samples.json"  # what stands in both: {"page": {"blocks"}, "receipt": {"questions", "lines"}}
