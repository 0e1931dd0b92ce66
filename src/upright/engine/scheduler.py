"""What the next step computes: one token budget, no prefill or decode phases.

Every step gives the budget to running sequences first, in order of admission, then admits waiting ones. Admission is
optimistic: when blocks run out, the newest running sequence is preempted, its blocks are freed, and it is computed
again later. Nothing here touches a tensor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from upright.engine.block_cache import BlockCache
from upright.engine.encoder_cache import EncoderCache
from upright.engine.sequence import Sequence, image_end
from upright.messages import EngineStats, FinishReason


@dataclass(frozen=True)
class SchedulerLimits:
    max_model_len: int  # tokens of one sequence
    max_num_seqs: int
    max_num_batched_tokens: int  # tokens of one step
    max_encoder_tokens: int  # image tokens that one step encodes, unless one image alone is larger


@dataclass(frozen=True)
class Chunk:
    """Tokens [start, start + length) of one sequence, computed in one step."""

    sequence: Sequence
    start: int
    length: int
    samples: bool  # the chunk ends at the last known token, so the step draws the next one


@dataclass(frozen=True)
class Encoding:
    """An image to encode in this step, before the chunks run."""

    sequence: Sequence
    image: int  # index into the request's images


@dataclass(frozen=True)
class Step:
    chunks: tuple[Chunk, ...]
    encodings: tuple[Encoding, ...]

    @property
    def tokens(self) -> int:
        return sum(chunk.length for chunk in self.chunks)


@dataclass(frozen=True)
class Sampled:
    """The outcome of one chunk that sampled; `index` is its place among the step's sampled tokens."""

    index: int
    sequence: Sequence
    token: int
    finish: FinishReason | None


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
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # in order of arrival
        self._by_id: dict[str, Sequence] = {}
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

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. Its length was checked by the front: prompt + 1 <= max_model_len."""
        self._by_id[sequence.id] = sequence
        self.waiting.append(sequence)

    def abort(self, sequence_id: str) -> Sequence | None:
        """Forget a sequence wherever it is, and return it; None if it is not here."""
        sequence = self._by_id.get(sequence_id)
        if sequence is not None:
            self._remove(sequence)
        return sequence

    # ---- one step ----------------------------------------------------------------------------------------------------

    def schedule(self) -> Step:
        """Choose the next step and take the blocks for it. An empty step means that there is nothing to do."""
        budget = _Budget(self.limits.max_num_batched_tokens, self.limits.max_encoder_tokens)
        decodes_to_come = sum(1 for sequence in self.running if sequence.decoding)
        preempted = False
        position = 0
        while position < len(self.running) and budget.tokens > 0:
            sequence = self.running[position]
            room = budget.tokens
            if sequence.decoding:
                decodes_to_come -= 1
            else:  # NOTE: a long prefill leaves every later decode its one token
                room = max(0, budget.tokens - decodes_to_come)
            length = self._fit_images(sequence, min(sequence.known - sequence.computed, room), budget)
            while length > 0 and not self._grow(sequence, sequence.computed + length):
                newest = self.running[-1]
                if newest.decoding and newest is not sequence:
                    decodes_to_come -= 1
                self._preempt(newest)
                preempted = True
                if newest is sequence:
                    length = 0
            if length > 0:
                budget.spend(sequence, length)
            if position < len(self.running) and self.running[position] is sequence:
                position += 1
        if not preempted:
            self._admit_waiting(budget)
        step = Step(tuple(budget.chunks), self._still_wanted(budget.encodings))
        self._count(step)
        return step

    def complete(self, step: Step, tokens: list[int]) -> list[Sampled]:
        """Take a step's tokens, one per sampling chunk in order; sequences aborted meanwhile are passed over."""
        results = []
        index = -1
        for chunk in step.chunks:
            index += chunk.samples
            sequence = chunk.sequence
            if sequence.removed:
                continue
            sequence.computed = chunk.start + chunk.length
            self._publish(sequence)
            self._unpin_computed(sequence)
            if chunk.samples:
                sequence.output.append(tokens[index])
                finish = sequence.finish_reason(self.limits.max_model_len)
                results.append(Sampled(index, sequence, tokens[index], finish))
                if finish is not None:
                    self._remove(sequence)
        return results

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
        for sequence in self.running:
            assert 0 <= sequence.computed < sequence.known <= self.limits.max_model_len, "computed and known disagree"
            assert len(sequence.blocks) * self.blocks.block_size >= sequence.computed, "computed tokens without blocks"
        for sequence in self.waiting:
            assert not sequence.blocks and sequence.computed == 0, "a waiting sequence holds blocks"

    # ---- admission, preemption, ends ---------------------------------------------------------------------------------

    def _admit_waiting(self, budget: _Budget) -> None:
        while self.waiting and len(self.running) < self.limits.max_num_seqs and budget.tokens > 0:
            sequence = self.waiting[0]
            if not self._admit(sequence, budget):
                break
            self.waiting.popleft()

    def _admit(self, sequence: Sequence, budget: _Budget) -> bool:
        """Take the sequence in with its first chunk, or change nothing and return False."""
        size = self.blocks.block_size
        # A request's last token is never matched, so that at least one token is computed.
        matchable = (sequence.known - 1) // size
        matched = self.blocks.match(sequence.block_key, matchable)
        if len(matched) < matchable and sequence.block_key(len(matched)) in budget.published_next:
            return False  # this very step computes its next block for another: wait for it rather than compute it too
        sequence.computed = len(matched) * size
        wanted = min(sequence.known - sequence.computed, budget.tokens)
        needed = _blocks_for(sequence.computed + wanted, size) - len(matched)
        # One block in reserve for each running sequence: admitting to the last block would preempt at once.
        if needed + len(self.running) > self.blocks.available - self.blocks.idle_among(matched):
            sequence.computed = 0
            return False
        length = self._fit_images(sequence, wanted, budget)
        if length == 0:
            self._unpin_all(sequence)
            sequence.computed = 0
            return False
        self.blocks.hold(matched)
        sequence.blocks = matched
        sequence.published = len(matched)
        if not self._grow(sequence, sequence.computed + length):
            raise AssertionError("admission counted blocks that are not there")
        if sequence.cached_tokens is None:
            sequence.cached_tokens = min(sequence.computed, len(sequence.request.prompt))
        self._prefix_queried += sequence.known
        self._prefix_hits += sequence.computed
        self.running.append(sequence)
        budget.spend(sequence, length)
        return True

    def _grow(self, sequence: Sequence, tokens: int) -> bool:
        """Make the block table long enough for `tokens`. False (and nothing changed) if blocks run out."""
        missing = _blocks_for(tokens, self.blocks.block_size) - len(sequence.blocks)
        if missing > 0:
            taken = self.blocks.allocate(missing)
            if taken is None:
                return False
            sequence.blocks.extend(taken)
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        self.waiting.appendleft(sequence)
        self._preemptions += 1

    def _remove(self, sequence: Sequence) -> None:
        sequence.removed = True
        del self._by_id[sequence.id]
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        else:
            self.waiting.remove(sequence)

    def _release(self, sequence: Sequence) -> None:
        """Give back blocks and pins; what is published stays findable."""
        self.blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.published = 0
        sequence.computed = 0
        self._unpin_all(sequence)

    def _publish(self, sequence: Sequence) -> None:
        for index in range(sequence.published, sequence.computed // self.blocks.block_size):
            self.blocks.publish(sequence.blocks[index], sequence.block_key(index))
            sequence.published = index + 1

    # ---- images ------------------------------------------------------------------------------------------------------

    def _fit_images(self, sequence: Sequence, length: int, budget: _Budget) -> int:
        """Shorten a chunk so that it stops just before the first image whose features cannot be had in this step."""
        start = sequence.computed
        for index in sequence.images_between(start, start + length):
            image = sequence.request.images[index]
            if image.key in self.encoder:
                self.encoder.pin(image.key, sequence.id)
            elif budget.may_encode(image.tokens) and self.encoder.reserve(image.key, image.tokens, sequence.id):
                budget.encode(sequence, index)
            else:
                return max(0, image.start - start)
        return length

    def _still_wanted(self, encodings: list[Encoding]) -> tuple[Encoding, ...]:
        """One encoding per key that is still reserved: a sequence preempted in this step may have lost its place."""
        by_key = {encoding.sequence.request.images[encoding.image].key: encoding for encoding in encodings}
        return tuple(encoding for key, encoding in by_key.items() if key in self.encoder)

    def _unpin_computed(self, sequence: Sequence) -> None:
        for image in sequence.request.images:
            if image_end(image) <= sequence.computed:
                self.encoder.unpin(image.key, sequence.id)

    def _unpin_all(self, sequence: Sequence) -> None:
        for image in sequence.request.images:
            self.encoder.unpin(image.key, sequence.id)

    def _count(self, step: Step) -> None:
        if step.chunks:
            self._steps += 1
        for chunk in step.chunks:
            if chunk.length == 1 and chunk.samples:
                self._decode_tokens += 1
            else:
                self._prefill_tokens += chunk.length
        self._images_encoded += len(step.encodings)


class _Budget:
    """What is left of one step, and what has been put into it."""

    def __init__(self, tokens: int, encoder_tokens: int) -> None:
        self.tokens = tokens
        self.encoder_tokens = encoder_tokens
        self.chunks: list[Chunk] = []
        self.encodings: list[Encoding] = []
        self.published_next: set[bytes] = set()  # keys of the blocks that this step completes

    def spend(self, sequence: Sequence, length: int) -> None:
        self.tokens -= length
        end = sequence.computed + length
        self.chunks.append(Chunk(sequence, sequence.computed, length, samples=end == sequence.known))
        for index in range(sequence.computed // sequence.block_size, end // sequence.block_size):
            self.published_next.add(sequence.block_key(index))

    def may_encode(self, tokens: int) -> bool:
        """An image larger than the whole budget is encoded all the same, as the only one of its step."""
        return tokens <= self.encoder_tokens or not self.encodings

    def encode(self, sequence: Sequence, image: int) -> None:
        self.encoder_tokens -= sequence.request.images[image].tokens
        self.encodings.append(Encoding(sequence, image))


def _blocks_for(tokens: int, block_size: int) -> int:
    return -(-tokens // block_size)
