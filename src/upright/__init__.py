"""Upright (不倒翁): an OpenAI-compatible server for vision-language models that stays on its feet."""

__version__ = "0.1.0"
