"""What documents say. `EnglishTexts` generates it, and mixes in prose where `python -m training.texts` fetched some.

The two splits share function words, months and the forms of figures, but no template, no list of words or names, no
syllable and no book. Licences and provenance of the prose stand in sources.py; lists and templates were written for
this project.
"""

from training.texts.english import EnglishTexts
from training.texts.prose import TextsMissing

__all__ = ["EnglishTexts", "TextsMissing"]
