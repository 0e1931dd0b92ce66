"""What the next step computes: one token budget, no prefill or decode phases.

Every step gives the budget to running sequences first, in order of admission, then admits waiting ones. Admission is
optimistic: when blocks run out, the newest running sequence is preempted, its blocks are freed, and it is computed
again later. Nothing here touches a tensor.

A step counts from the moment it is handed out: `schedule` may be called again while the device still runs the step
before, and `complete` takes the tokens of the steps in their order. So a sequence's end is noticed one step late, and
what the step in flight draws for it is dropped. Blocks may be given away while such a step still writes to them,
because the device does one step after the other: who takes them writes later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import NamedTuple, TypeVar

import numpy as np

from upright.engine.block_cache import BlockCache
from upright.engine.encoder_cache import EncoderCache
from upright.engine.image_fitting import ImageFitting
from upright.engine.places import Places, Slots
from upright.engine.sequence import Sequence
from upright.engine.step import Budget, Chunk, Completed, Encoding, Step
from upright.kernels.not_finite import NOT_FINITE
from upright.messages import EngineStats, FinishReason

T = TypeVar("T")


@dataclass(frozen=True)
class SchedulerLimits:
    max_model_len: int  # tokens of one sequence
    max_num_seqs: int
    max_num_batched_tokens: int  # tokens of one step
    max_encoder_tokens: int  # image tokens that one step encodes, unless one image alone is larger
    encode_ahead: bool = False  # while others decode, wait for an image's features before computing tokens over them


class _InFlight(NamedTuple):
    step: Step
    prefills: list[Chunk]
    removals: int  # of sequences, before the step was handed out


class _Decoded(NamedTuple):
    slots: bytes
    admissions: int  # until then
    sequences: list[Sequence]


class Scheduler:
    """Owns the sequences, the block cache and the encoder cache's bookkeeping."""

    def __init__(self, limits: SchedulerLimits, blocks: BlockCache, encoder: EncoderCache) -> None:
        if blocks.total * blocks.block_size < limits.max_model_len:
            raise ValueError(
                f"{blocks.total} blocks of {blocks.block_size} tokens cannot hold one sequence of "
                f"{limits.max_model_len} tokens"
            )
        self.limits = limits
        self.blocks = blocks
        self.encoder = encoder
        self._images = ImageFitting(encoder, limits.encode_ahead)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # in order of arrival
        self._by_id: dict[str, Sequence] = {}
        self._in_flight: deque[_InFlight] = deque()  # handed out and not completed, oldest first
        self._places = Places(limits.max_num_seqs, blocks.block_size)
        self._decoded: _Decoded | None = None  # the last step, where it only decoded
        self._end_tokens: set[int] = {NOT_FINITE}  # that sequences here may end with
        self._awaiting_output = 0  # running sequences that do
        self._removals = 0
        self._preemptions = 0
        self._prefix_queried = 0
        self._prefix_hits = 0
        self._steps = 0
        self._prefill_tokens = 0
        self._decode_tokens = 0
        self._images_encoded = 0

    @property
    def has_work(self) -> bool:
        return bool(self._by_id)

    @property
    def awaits_output(self) -> bool:
        """A running sequence's next draw needs its whole output: complete what is in flight before `schedule`."""
        return self._awaiting_output > 0

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. Its length was checked by the front: prompt + 1 <= max_model_len."""
        sequence.fit(self.limits.max_model_len)
        if not self._by_id:
            self._end_tokens = {NOT_FINITE}
        self._end_tokens |= sequence.end_tokens
        self._by_id[sequence.id] = sequence
        self.waiting.append(sequence)

    def abort(self, sequence_id: str) -> Sequence | None:
        """Forget a sequence wherever it is, and return it; None if it is not here."""
        sequence = self._by_id.get(sequence_id)
        if sequence is not None:
            self._remove(sequence)
        return sequence

    def encoded(self, keys: Iterable[bytes]) -> None:
        """The features of these images are ready."""
        self._images.ready(keys)

    # ---- one step ----------------------------------------------------------------------------------------------------

    def schedule(self) -> Step:
        """Choose the next step and take the blocks for it; one earlier step at most may be in flight.

        An empty step means that nothing can be done now. If one is in flight, completing it may change that.
        """
        budget = Budget(self.limits.max_num_batched_tokens, self.limits.max_encoder_tokens)
        budget.ahead = self.limits.encode_ahead
        self._fill(budget)
        if budget.held_back and not budget.chunks and not budget.hot.size:
            # Nobody decodes after all, so nothing is gained by waiting: the device has the features before the chunk.
            budget.ahead = False
            self._fill(budget)
        return self._hand_out(budget)

    def _fill(self, budget: Budget) -> None:
        full = self._places.full()
        taken = self.blocks.allocate(len(full))
        if taken is not None:  # else each of them takes its own, as long as there are any
            self._places.grow(full, taken)
            budget.grown += full
        hot, cold = self._places.split()
        if hot.size > budget.tokens:  # the oldest come first, whatever they are
            hot, cold = hot[:0], self.running.copy()
        left = budget.tokens - hot.size
        decodes_to_come = [sequence.todo for sequence in cold].count(1)
        budget.ahead = budget.ahead and decodes_to_come + hot.size > 0
        for sequence in cold:
            if left <= 0 or sequence.slot < 0:  # preempted meanwhile, and so are all that come after it
                break
            length = left
            if sequence.todo == 1:
                decodes_to_come -= 1
                if sequence.ending:
                    continue
            else:  # NOTE: a long prefill leaves every later decode its one token
                length = max(0, left - decodes_to_come)
            length = self._images.fit(sequence, min(sequence.todo, length), budget)
            while length > 0 and not self._grow(sequence, sequence.computed + length, budget):
                newest = self.running[-1]
                if newest.todo == 1 and newest is not sequence and newest in cold:
                    decodes_to_come -= 1
                self._preempt(newest)
                budget.preempted = True
                if newest is sequence:
                    length = 0
            if length > 0:
                self._spend(sequence, length, budget)
                left -= length
        if budget.preempted:
            budget.grown = [sequence for sequence in budget.grown if sequence.slot >= 0]
            budget.hot = self._places.still_hot(hot)
            budget.tokens = left + hot.size - budget.hot.size
        else:
            budget.hot, budget.tokens = hot, left
        self._places.advance(budget.hot)
        if not budget.preempted:
            self._admit_waiting(budget)

    def _spend(self, sequence: Sequence, length: int, budget: Budget) -> None:
        """Put the next `length` tokens of a sequence into the step. The caller takes them from the budget."""
        start = sequence.computed
        samples = sequence.advance(length)
        chunk = Chunk(sequence, start, length, samples)
        budget.chunks.append(chunk)
        if length > 1 or start < sequence.prompt_length:
            budget.prefills.append(chunk)
        if length > 1 or not samples:
            self._prefill_tokens += length
            self._decode_tokens -= 1  # every chunk is counted as a decode in the end
        if samples:
            budget.drawing.append(sequence)
            self._places.heat(sequence, sequence.prompt_length + sequence.most_output - 2)

    def _hand_out(self, budget: Budget) -> Step:
        chunks = budget.chunks
        encodings = self._images.still_wanted(budget.encodings)
        if not chunks and not budget.hot.size:
            self._decoded = None
            step = Step((), encodings, grown=budget.grown)
        elif budget.prefills or len(budget.drawing) < len(chunks):
            self._decoded = None
            step = self._mixed_step(budget, encodings)
        else:
            step = self._decode_step(budget, encodings)
        if step:
            count = step.chunk_count
            self._in_flight.append(_InFlight(step, budget.prefills, self._removals))
            self._steps += count > 0
            self._decode_tokens += count
            self._images_encoded += len(encodings)
        return step

    def _mixed_step(self, budget: Budget, encodings: tuple[Encoding, ...]) -> Step:
        chunks, decodes = budget.chunks, self._places.decodes(budget.hot)
        hot = self._places.owners(decodes.slots.tolist())
        listed = (*chunks, *map(Chunk, hot, decodes.starts.tolist(), repeat(1), repeat(True)))
        at = [chunk.position for chunk in chunks if chunk.samples] + self._places.at(decodes)
        rows = accumulate((chunk.samples for chunk in chunks), initial=0)
        notable = [(chunk, row if chunk.samples else -1) for chunk, row in zip(chunks, rows, strict=False)]
        return Step(listed, encodings, None, False, budget.grown, budget.drawing + hot, at, notable)

    def _decode_step(self, budget: Budget, encodings: tuple[Encoding, ...]) -> Step:
        slots, cold = budget.hot, [sequence.slot for sequence in budget.drawing]
        if cold:
            slots = np.sort(np.append(slots, cold))
        decodes = self._places.decodes(slots)
        drawing, steady = self._owners(slots)
        notable = list(zip(budget.chunks, slots.searchsorted(cold).tolist(), strict=True)) if cold else []
        return Step((), encodings, decodes, steady, budget.grown, drawing, self._places.at(decodes), notable)

    def _owners(self, slots: Slots) -> tuple[list[Sequence], bool]:
        """Who decodes in these slots, and whether they are those of the step before."""
        before, now = self._decoded, (slots.tobytes(), self._places.admissions)
        if before is not None and before.slots == now[0] and before.admissions == now[1]:
            return before.sequences, True
        sequences = self._places.owners(slots.tolist())  # NOTE: a slot may have been another's in the step before
        self._decoded = _Decoded(*now, sequences)
        return sequences, before is not None and sequences == before.sequences

    def complete(self, step: Step, tokens: list[int]) -> Completed:
        """Take a step's tokens, one per sampling chunk in order; sequences aborted meanwhile are passed over.

        Steps are completed in the order in which they were handed out.
        """
        flying = self._in_flight.popleft()
        if flying.step is not step:
            raise AssertionError("steps are completed in another order than they were handed out in")
        sequences, at, rows = step.drawing, step.at, list(range(len(tokens)))
        gone: list[int] = []
        if self._removals > flying.removals:
            gone = [row for row, sequence in enumerate(sequences) if sequence.removed]
            sequences, tokens, at, rows = (without(values, gone) for values in (sequences, tokens, at, rows))
        for sequence, token in zip(sequences, tokens, strict=True):
            sequence.output.append(token)
        index_of = {row: index for index, row in enumerate(rows)} if gone else rows
        closely: set[int] = set()  # indices of what may be a first or a last token
        for chunk, row in step.notable:
            if not chunk.sequence.removed:
                self._keep_computed(chunk)
                if row >= 0:
                    closely.add(index_of[row])
        if not self._end_tokens.isdisjoint(tokens):
            closely.update(index for index, token in enumerate(tokens) if token in self._end_tokens)
        ends: dict[int, FinishReason] = {}
        firsts: list[int] = []
        for index in sorted(closely):
            sequence = sequences[index]
            if len(sequence.output) == len(sequence.request.output) + 1:
                firsts.append(index)
            finish = sequence.finish_reason()
            if finish is not None:
                ends[index] = finish
                if finish == "error":
                    sequence.output.pop()  # it was no token
                self._remove(sequence)
        return Completed(sequences, tokens, at, rows, ends, firsts)

    def _keep_computed(self, chunk: Chunk) -> None:
        """The chunk is in the cache: let others find its prompt's blocks, and let go of the images that it passed.

        NOTE: not beyond the chunk: the device may still wait for features of images after it. And nothing where the
        sequence was preempted since: it has no blocks then. It cannot have been admitted again, for that takes another
        `schedule`.
        """
        sequence, end = chunk.sequence, chunk.start + chunk.length
        if chunk.start < sequence.prompt_length and end <= sequence.computed:
            self._publish(sequence, end)
            self._images.unpin_computed(sequence, end)

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self.running),
            waiting=len(self.waiting),
            blocks_used=self.blocks.held,
            blocks_cached=self.blocks.idle,
            blocks_total=self.blocks.total,
            preemptions=self._preemptions,
            prefix_queried_tokens=self._prefix_queried,
            prefix_hit_tokens=self._prefix_hits,
            steps=self._steps,
            prefill_tokens=self._prefill_tokens,
            decode_tokens=self._decode_tokens,
            images_encoded=self._images_encoded,
        )

    def check(self) -> None:
        """Prove that blocks, pins and sequences add up. Raises: AssertionError."""
        self.blocks.check(sequence.blocks for sequence in self._by_id.values())
        self.encoder.check()
        assert {*self.running, *self.waiting} == set(self._by_id.values()), "a sequence is in no queue"
        assert len(self.running) + len(self.waiting) == len(self._by_id), "a sequence is in two queues"
        assert len(self.running) <= self.limits.max_num_seqs, "more sequences run than may"
        self._places.check(self.running)
        assert len(self._in_flight) <= 2, "more steps are in flight than may"
        drawing: dict[Sequence, int] = {}
        for flying in self._in_flight:
            for sequence in flying.step.drawing:
                drawing[sequence] = drawing.get(sequence, 0) + 1
        for sequence in self._by_id.values():
            assert sequence.pending == drawing.get(sequence, 0), "pending tokens that no step draws"
        size = self.blocks.block_size
        for sequence in self.running:
            assert 0 <= sequence.computed < sequence.known <= self.limits.max_model_len, "computed and known disagree"
            assert len(sequence.blocks) * size >= sequence.computed, "computed tokens without blocks"
        for sequence in self.waiting:
            assert not sequence.blocks and sequence.computed == 0, "a waiting sequence holds blocks"
            assert sequence.slot == -1, "a waiting sequence has a slot"
        waited = sum(sequence.awaits_output for sequence in self.running)
        assert waited == self._awaiting_output, "sequences that await their output are miscounted"

    # ---- admission, preemption, ends ---------------------------------------------------------------------------------

    def _admit_waiting(self, budget: Budget) -> None:
        while self.waiting and len(self.running) < self.limits.max_num_seqs and budget.tokens > 0:
            sequence = self.waiting[0]
            # What was preempted with a draw in flight waits for that token: its value is the host's to give this time.
            if sequence.pending or not self._admit(sequence, budget):
                break
            self.waiting.popleft()

    def _admit(self, sequence: Sequence, budget: Budget) -> bool:
        """Take the sequence in with its first chunk, or change nothing and return False."""
        size = self.blocks.block_size
        # A request's last token is never matched, so that at least one token is computed.
        matchable = (sequence.known - 1) // size
        keys = sequence.block_keys(matchable)[:matchable]
        matched = self.blocks.match(keys)
        if len(matched) < matchable and self._is_coming(keys[len(matched)], budget):
            return False  # its next block is being computed for another: wait for it rather than compute it too
        sequence.restart(len(matched) * size)
        wanted = min(sequence.todo, budget.tokens)
        needed = _blocks_for(sequence.computed + wanted, size) - len(matched)
        # One block in reserve for each running sequence: admitting to the last block would preempt at once.
        if needed + len(self.running) > self.blocks.available - self.blocks.idle_among(matched):
            sequence.restart(0)
            return False
        encodings = len(budget.encodings)
        length = self._images.fit(sequence, wanted, budget)
        if length == 0 and encodings == len(budget.encodings):
            self._images.unpin_all(sequence)
            sequence.restart(0)
            return False
        self.blocks.hold(matched)
        sequence.blocks = matched
        sequence.published = len(matched)
        self._places.enter(sequence)
        self._awaiting_output += sequence.awaits_output
        if not self._grow(sequence, sequence.computed + length, budget):
            raise AssertionError("admission counted blocks that are not there")
        if sequence.cached_tokens is None:
            sequence.cached_tokens = min(sequence.computed, sequence.prompt_length)
        self._prefix_queried += sequence.known
        self._prefix_hits += sequence.computed
        self.running.append(sequence)
        if length > 0:  # else the features of its first image are being encoded, and it goes on when they are there
            self._spend(sequence, length, budget)
            budget.tokens -= length
        return True

    def _is_coming(self, key: bytes, budget: Budget) -> bool:
        """A step in flight, or the one that is being made, completes the block with this key as part of a prompt."""
        if budget.coming is None:
            budget.coming = {key for flying in self._in_flight for key in _completed_keys(flying.prefills)}
        budget.coming.update(_completed_keys(budget.prefills[budget.counted :]))
        budget.counted = len(budget.prefills)
        return key in budget.coming

    def _grow(self, sequence: Sequence, tokens: int, budget: Budget) -> bool:
        """Make the block table long enough for `tokens`. False (and nothing changed) if blocks run out."""
        missing = _blocks_for(tokens, self.blocks.block_size) - len(sequence.blocks)
        if missing > 0:
            taken = self.blocks.allocate(missing)
            if taken is None:
                return False
            sequence.blocks.extend(taken)
            budget.grown.append(sequence)
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """NOTE: what a step in flight draws for it is valid, and is taken; `computed` is not what it computed any more.

        It cannot be one that has a chunk in the step that is being made: those are older.
        """
        self._release(sequence)
        self.waiting.appendleft(sequence)
        self._preemptions += 1

    def _remove(self, sequence: Sequence) -> None:
        sequence.removed = True
        self._removals += 1
        del self._by_id[sequence.id]
        if sequence.slot >= 0:
            self._release(sequence)
        else:
            self.waiting.remove(sequence)

    def _release(self, sequence: Sequence) -> None:
        """Take a sequence out of those running: its slot, blocks and pins. What is published stays findable.

        Blocks of its output are published only here: nobody looks for them before, and a step has no time for it. What
        a step in flight still writes into them is there before any step that finds them.
        """
        self._publish(sequence, min(sequence.computed, sequence.prompt_length + len(sequence.output)))
        self.running.remove(sequence)
        self._places.leave(sequence)
        self._awaiting_output -= sequence.awaits_output
        self.blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.published = 0
        sequence.restart(0)
        self._images.unpin_all(sequence)

    def _publish(self, sequence: Sequence, computed: int) -> None:
        full = computed // self.blocks.block_size
        if full > sequence.published:
            keys = sequence.block_keys(full)
            for index in range(sequence.published, full):
                self.blocks.publish(sequence.blocks[index], keys[index])
            sequence.published = full


def _completed_keys(chunks: Iterable[Chunk]) -> Iterable[bytes]:
    """Keys of the blocks that these chunks complete; not of one with a token whose value is not known yet."""
    for chunk in chunks:
        sequence = chunk.sequence
        size = sequence.block_size
        end = min(chunk.start + chunk.length, sequence.prompt_length + len(sequence.output))
        yield from sequence.block_keys(end // size)[chunk.start // size : end // size]


def without(values: list[T], indices: list[int]) -> list[T]:
    """A copy that lacks a few; `indices` ascend."""
    kept = values.copy()
    for index in reversed(indices):
        del kept[index]
    return kept


def _blocks_for(tokens: int, block_size: int) -> int:
    return -(-tokens // block_size)
