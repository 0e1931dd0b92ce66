"""From a journal entry to text: detokenised, cut at stop strings, with the reason for the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from upright.chat.detokenizer import make_detokenizer
from upright.chat.errors import BadRequest
from upright.chat.stop import Node, StopScanner
from upright.chat.tokenizer import Tokenizer
from upright.messages import TokenLogprobs
from upright.supervise.journal import EngineGone, Entry

TextFinish = Literal["stop", "length"]


@dataclass(frozen=True)
class OutputOptions:
    """How one answer's tokens become text."""

    eos_token_ids: frozenset[int]  # the model's own ends; a stop there has no stop reason
    stop: Node | None = None  # automaton of the stop strings
    include_stop: bool = False  # keep the stop string, or the end token, in the text
    skip_special_tokens: bool = True
    min_tokens: int = 0  # stop strings that end within so many tokens are let through


@dataclass(frozen=True)
class TextDelta:
    """What came since the last one. `token_ids` are all tokens that count for usage, text or not."""

    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[TokenLogprobs]  # one per token when asked for, else empty
    finish_reason: TextFinish | None = None
    stop_reason: str | int | None = None  # the stop string or stop token id; None for the model's own end


async def stream_text(
    entry: Entry, options: OutputOptions, tokenizer: Tokenizer, release: Callable[[], None]
) -> AsyncIterator[TextDelta]:
    """Deltas until the end; what the engine adds between two reads comes in one.

    `release` is called as soon as a stop string ends the answer, while the engine may still be at work on it.

    Raises:
        BadRequest: the engine found the request at fault.
        EngineGone: the engine, or the server, stopped the request.
    """
    detokenizer = make_detokenizer(tokenizer, options.skip_special_tokens)
    scanner = StopScanner(options.stop, options.include_stop) if options.stop is not None else None
    cursor = 0
    while True:
        await entry.wait_past(cursor)
        tokens = entry.output[cursor:]
        ended = entry.finish is not None
        if ended:
            _raise_failure(entry)
        visible = _visible(tokens, entry, options) if ended else tokens
        if scanner is None:
            text = detokenizer.push(visible)
            if ended:
                text += detokenizer.flush()
        else:
            pieces = []
            for count, token in enumerate(visible, start=1):
                piece, match = scanner.push(detokenizer.push((token,)), armed=cursor + count > options.min_tokens)
                pieces.append(piece)
                if match is not None:
                    release()
                    logprobs = entry.logprobs[cursor : cursor + count]
                    yield TextDelta("".join(pieces), tokens[:count], logprobs, "stop", match)
                    return
            if ended:
                piece, match = scanner.push(detokenizer.flush())
                pieces += [piece, "" if match is not None else scanner.flush()]
            text = "".join(pieces)
        logprobs = entry.logprobs[cursor : cursor + len(tokens)]
        if ended:
            yield TextDelta(text, tokens, logprobs, _finish(entry), _stop_reason(entry, options))
            return
        yield TextDelta(text, tokens, logprobs)
        cursor += len(tokens)


async def whole_text(
    entry: Entry, options: OutputOptions, tokenizer: Tokenizer, release: Callable[[], None]
) -> TextDelta:
    """The whole answer at once; without stop strings nothing is spent before its end. Raises: as `stream_text`."""
    if options.stop is None:
        await entry.finished()
        _raise_failure(entry)
        visible = _visible(entry.output, entry, options)
        text = tokenizer.decode(visible, options.skip_special_tokens)
        return TextDelta(text, entry.output, entry.logprobs, _finish(entry), _stop_reason(entry, options))
    text, tokens, logprobs = "", list[int](), list[TokenLogprobs]()
    async for delta in stream_text(entry, options, tokenizer, release):
        text += delta.text
        tokens += delta.token_ids
        logprobs += delta.logprobs
    return TextDelta(text, tokens, logprobs, delta.finish_reason, delta.stop_reason)


def _raise_failure(entry: Entry) -> None:
    if entry.finish == "error":
        if entry.fault is None:
            raise RuntimeError(f"request {entry.request.id} ended with an error that nobody described")
        raise BadRequest(entry.fault.message, None, entry.fault.code)
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
