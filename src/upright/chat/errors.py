"""What a client did wrong, told to the person who can put it right."""

from __future__ import annotations


class BadRequest(Exception):
    """A request that cannot be served as it is; clients get a 400 in OpenAI's form.

    `param` names the field as the client wrote it, such as `messages[0].content[1].image_url`; `code` is a short
    name for programs, such as `context_length_exceeded`.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class ServerFault(Exception):
    """The engine could not serve a request that is not to blame; clients get a 500. `code` is for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class TokenizerError(Exception):
    """The model directory's tokenizer or chat template cannot be used; the server does not start."""
