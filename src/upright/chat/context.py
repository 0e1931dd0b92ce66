"""What the front knows of the served model; made once at start and never changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from upright.chat.fetch import FetchLimits
from upright.chat.images import ImageRules
from upright.chat.media import MediaReader
from upright.chat.template import ChatTemplate
from upright.chat.tokenizer import Tokenizer
from upright.config import ServeConfig
from upright.models.model_config import ModelConfig


@dataclass(frozen=True)
class ChatContext:
    """Everything that turns a client's request into token ids and tokens back into text."""

    names: tuple[str, ...]  # that clients may use for the model; the first is shown
    model: ModelConfig
    config: ServeConfig
    tokenizer: Tokenizer
    template: ChatTemplate | None  # None: the model has none, and chat is refused
    media: MediaReader
    max_model_len: int  # tokens of prompt and answer together
    max_pixels: int | None  # of one image after resizing; None: as the model's image processor says
    created: int  # Unix seconds, shown in /v1/models

    @classmethod
    def load(
        cls, directory: Path, model: ModelConfig, config: ServeConfig, max_model_len: int, max_pixels: int | None = None
    ) -> ChatContext:
        """Read the tokenizer and the template of a model directory. Raises: TokenizerError."""
        tokenizer = Tokenizer.load(directory)
        return cls(
            names=config.names,
            model=model,
            config=config,
            tokenizer=tokenizer,
            template=ChatTemplate.load(directory, tokenizer.settings, tokenizer.special_tokens),
            media=MediaReader(
                FetchLimits(config.max_media_bytes, config.media_timeout, config.allow_private_media),
                config.allowed_local_media_path,
            ),
            max_model_len=max_model_len,
            max_pixels=max_pixels,
            created=int(time.time()),
        )

    @cached_property
    def image_rules(self) -> ImageRules | None:
        """None for a model without a vision tower."""
        if self.model.vision is None or self.model.image is None or self.model.image_token_id is None:
            return None
        return ImageRules(self.model.vision, self.model.image, self.max_pixels, self.config.max_image_pixels)

    @cached_property
    def image_placeholder(self) -> str | None:
        """What stands for one image in a prompt's text; None for a model without a vision tower."""
        if self.image_rules is None or self.model.image_token_id is None:
            return None
        pad = self.tokenizer.token_of(self.model.image_token_id) or ""
        start, end = "<|vision_start|>", "<|vision_end|>"
        wrapped = self.tokenizer.id_of(start) is not None and self.tokenizer.id_of(end) is not None
        return f"{start}{pad}{end}" if wrapped else pad

    @cached_property
    def media_tokens(self) -> dict[int, str]:
        """The tokens that stand for images and videos in a prompt; a client's own text may not hold them."""
        ids = (self.model.image_token_id, self.model.video_token_id)
        return {i: text for i in ids if i is not None and (text := self.tokenizer.token_of(i)) is not None}

    @cached_property
    def longest_text(self) -> int:
        """Characters past which no text can fit the context, so that it need not be tokenized to be refused.

        Twice the longest token for each position: generous to tokenizers that drop or join a little on the way.
        """
        return 2 * self.tokenizer.longest_token() * self.max_model_len
