"""From a journal entry to text: detokenised, cut at stop strings, with the reason for the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from upright.chat.detokenizer import make_detokenizer
from upright.chat.errors import BadRequest, ServerFault
from upright.chat.stop import Node, StopScanner
from upright.chat.tokenizer import Tokenizer
from upright.messages import TokenLogprobs
from upright.supervise.journal import EngineGone, Entry

log = logging.getLogger(__name__)

TextFinish = Literal["stop", "length"]


@dataclass(frozen=True)
class OutputOptions:
    """How one answer's tokens become text."""

    eos_token_ids: frozenset[int]  # the model's own ends; a stop there has no stop reason
    stop: Node | None = None  # automaton of the stop strings
    include_stop: bool = False  # keep the stop string, or the end token, in the text
    skip_special_tokens: bool = True
    min_tokens: int = 0  # stop strings that end within so many tokens are let through


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """What came since the last one. `token_ids` are all tokens that count for usage, text or not."""

    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[TokenLogprobs]  # one per token when asked for, else empty
    finish_reason: TextFinish | None = None
    stop_reason: str | int | None = None  # the stop string or stop token id; None for the model's own end


class TextReader:
    """Follows one entry: `await wait()`, then `read()`, until `ended`."""

    def __init__(
        self,
        entry: Entry,
        options: OutputOptions,
        tokenizer: Tokenizer,
        image_params: Sequence[str],
        release: Callable[[], None],
    ) -> None:
        """`image_params`: where each of the entry's images stands in the client's request.

        `release` is called as soon as a stop string ends the answer, while the engine may still be at work on it.
        """
        self.ended = False
        self._entry = entry
        self._options = options
        self._image_params = image_params
        self._release = release
        self._detokenizer = make_detokenizer(tokenizer, options.skip_special_tokens)
        self._scanner = StopScanner(options.stop, options.include_stop) if options.stop is not None else None
        self._cursor = 0

    async def wait(self) -> None:
        """Return once there is something to read. Raises: RequestLost."""
        await self._entry.wait_past(self._cursor)

    def read(self) -> TextDelta:
        """Everything that the engine has added since the last time.

        Raises:
            BadRequest: the engine found the request at fault.
            ServerFault: the engine could not serve it, and the request is not to blame.
            EngineGone: the engine, or the server, stopped the request.
        """
        entry, options, cursor = self._entry, self._options, self._cursor
        tokens = entry.output[cursor:]
        finished = entry.finish is not None
        if finished:
            _raise_failure(entry, self._image_params)
        visible = _visible(tokens, entry, options) if finished else tokens
        self._cursor += len(tokens)
        if self._scanner is None:
            text = self._detokenizer.push(visible)
            if finished:
                text += self._detokenizer.flush()
        else:
            text, count, match = self._scan(self._scanner, visible, cursor, finished)
            if match is not None:
                self.ended = True
                self._release()
                return TextDelta(text, tokens[:count], entry.logprobs[cursor : cursor + count], "stop", match)
        logprobs = entry.logprobs[cursor : self._cursor] if entry.logprobs else ()
        if not finished:
            return TextDelta(text, tokens, logprobs)
        self.ended = True
        return TextDelta(text, tokens, logprobs, _finish(entry), _stop_reason(entry, options))

    def _scan(
        self, scanner: StopScanner, visible: list[int], before: int, finished: bool
    ) -> tuple[str, int, str | None]:
        """Text that may go out; with a stop string, how many of the tokens it took and which one it was."""
        pieces = []
        for count, token in enumerate(visible, start=1):
            armed = before + count > self._options.min_tokens
            piece, match = scanner.push(self._detokenizer.push((token,)), armed)
            pieces.append(piece)
            if match is not None:
                return "".join(pieces), count, match
        if finished:
            piece, match = scanner.push(self._detokenizer.flush())
            pieces += [piece, "" if match is not None else scanner.flush()]
        return "".join(pieces), len(visible), None


async def whole_text(
    entry: Entry,
    options: OutputOptions,
    tokenizer: Tokenizer,
    image_params: Sequence[str],
    release: Callable[[], None],
) -> TextDelta:
    """The whole answer at once; without stop strings nothing is spent before its end. Raises: as `TextReader`."""
    if options.stop is None:
        await entry.finished()
        _raise_failure(entry, image_params)
        visible = _visible(entry.output, entry, options)
        text = tokenizer.decode(visible, options.skip_special_tokens)
        return TextDelta(text, entry.output, entry.logprobs, _finish(entry), _stop_reason(entry, options))
    reader = TextReader(entry, options, tokenizer, image_params, release)
    text, tokens, logprobs = "", list[int](), list[TokenLogprobs]()
    while True:
        await reader.wait()
        delta = reader.read()
        text += delta.text
        tokens += delta.token_ids
        logprobs += delta.logprobs
        if reader.ended:
            return TextDelta(text, tokens, logprobs, delta.finish_reason, delta.stop_reason)


def _raise_failure(entry: Entry, image_params: Sequence[str]) -> None:
    if entry.finish == "error":
        fault = entry.fault
        if fault is None:
            raise RuntimeError(f"request {entry.request.id} ended with an error that nobody described")
        if fault.servers:
            log.error("request %s failed after %d tokens: %s", entry.request.id, len(entry.output), fault.message)
            raise ServerFault(fault.message, fault.code)
        if fault.image is not None:
            param = image_params[fault.image]
            raise BadRequest(f"{param}: {fault.message}", param, fault.code)
        raise BadRequest(fault.message, None, fault.code)
    if entry.finish == "abort":
        raise EngineGone("the server stopped this request before it was finished; send it again", 1)


def _ended_by_token(entry: Entry) -> bool:
    return entry.finish == "stop" and bool(entry.output) and entry.output[-1] in entry.request.params.end_token_ids


def _visible(tokens: list[int], entry: Entry, options: OutputOptions) -> list[int]:
    """The last tokens of an answer without the one that ended it: it says that the answer is over, and nothing else."""
    return tokens[:-1] if tokens and not options.include_stop and _ended_by_token(entry) else tokens


def _finish(entry: Entry) -> TextFinish:
    return "length" if entry.finish == "length" else "stop"


def _stop_reason(entry: Entry, options: OutputOptions) -> int | None:
    if not _ended_by_token(entry):
        return None
    last = entry.output[-1]
    return None if last in options.eos_token_ids else last
