"""Random arrivals, lengths, images, aborts and cache sizes: every sequence ends once, and nothing leaks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from upright.engine.block_cache import BlockCache
from upright.engine.encoder_cache import EncoderCache
from upright.engine.scheduler import Scheduler, SchedulerLimits
from upright.engine.sequence import Sequence
from upright.engine.step import Chunk, Step
from upright.messages import Image, Request, SamplingParams

END = 7  # an end-of-sequence token


@dataclass(frozen=True)
class World:
    block_size: int
    blocks: int
    max_model_len: int
    max_num_seqs: int
    budget: int
    encoder_capacity: int


@st.composite
def worlds(draw: st.DrawFn) -> World:
    block_size = draw(st.integers(1, 8))
    max_model_len = draw(st.integers(8, 60))
    least = -(-max_model_len // block_size)
    sequences = draw(st.integers(1, 8))
    return World(
        block_size=block_size,
        blocks=draw(st.integers(least, 3 * least)),
        max_model_len=max_model_len,
        max_num_seqs=sequences,
        budget=draw(st.integers(sequences, 40)),
        encoder_capacity=draw(st.integers(max_model_len, 2 * max_model_len)),
    )


def make_request(rng: random.Random, number: int, world: World) -> Request:
    """A request that fits, of few different contents, so that prefixes and images are shared."""
    length = rng.randint(1, world.max_model_len - 1)
    content = rng.randint(0, 2)
    prompt = [(content * 31 + at) % 5 for at in range(length)]
    images, at = [], 0
    while rng.random() < 0.5 and at < length:
        start = rng.randint(at, length - 1)
        tokens = rng.randint(1, length - start)
        images.append(Image(b"", rng.randint(0, 3).to_bytes(16, "little"), start, 1, tokens, tokens))
        at = start + tokens
    # An image's key names its size too, so equal keys have equal token counts.
    keyed = tuple(
        Image(b"", image.key + bytes([image.tokens]), image.start, 1, image.tokens, image.tokens) for image in images
    )
    params = SamplingParams(seed=0, max_tokens=rng.randint(1, 30), end_token_ids=(END,), min_tokens=rng.randint(0, 3))
    return Request(id=f"r{number}", prompt=prompt, params=params, images=keyed)


def token_of(sequence: Sequence, position: int) -> int:
    """What a model would draw: the same whenever it is asked, now and then the end."""
    number = random.Random(f"{sequence.id} {position}").randint(0, 99)
    return END if number < 5 else number % 5


@dataclass
class Device:
    """Does steps in their order and checks that each can be done: features there, tokens over them not too early."""

    world: World
    depth: int  # steps in flight while another is scheduled
    features: set[bytes] = field(default_factory=set)
    flying: list[tuple[Step, list[int]]] = field(default_factory=list)
    ahead: list[bytes] = field(default_factory=list)  # images on their way

    def launch(self, step: Step, scheduler: Scheduler) -> None:
        assert step.tokens <= self.world.budget
        assert len({chunk.sequence.id for chunk in step.chunks}) == len(step.chunks), "a sequence has two chunks"
        for encoding in step.encodings:
            self.features.add(encoding.sequence.request.images[encoding.image].key)
            self.ahead.append(encoding.sequence.request.images[encoding.image].key)
        if scheduler.limits.encode_ahead:
            unready = [c for c in step.chunks if self.reads(c, self.ahead)]
            assert len(unready) <= 1, "a step waits for more features than it has to"
        tokens = []
        for chunk in step.chunks:
            sequence, end = chunk.sequence, chunk.start + chunk.length
            assert chunk.length > 0 and end == sequence.computed and sequence.todo >= 1
            assert 0 <= sequence.slot < self.world.max_num_seqs
            assert not chunk.samples or end + 1 == sequence.known
            assert len(sequence.blocks) * self.world.block_size >= end
            for index in sequence.images_between(chunk.start, end):
                assert sequence.request.images[index].key in self.features, "tokens over an image that was not encoded"
            if chunk.samples:
                assert chunk.position == sequence.drawn - 1 >= len(sequence.output)
                tokens.append(token_of(sequence, chunk.position))
        assert (step.decodes is not None) == (
            bool(step.chunks)
            and all(c.length == 1 and c.samples and c.start >= c.sequence.prompt_length for c in step.chunks)
        )
        self.flying.append((step, tokens))

    def reads(self, chunk: Chunk, keys: list[bytes]) -> bool:
        images = chunk.sequence.request.images
        return any(
            images[index].key in keys
            for index in chunk.sequence.images_between(chunk.start, chunk.start + chunk.length)
        )

    def finished(self, rng: random.Random) -> list[bytes]:
        done = [key for key in self.ahead if rng.random() < 0.2]
        self.ahead = [key for key in self.ahead if key not in done]
        return done


def drive(world: World, seed: int, depth: int, aborts: bool, ahead: bool = False) -> dict[str, list[int]]:
    """Everything from arrival to end; returns the outputs of all that ended by themselves."""
    rng, fate = random.Random(seed), random.Random(seed + 1)
    limits = SchedulerLimits(world.max_model_len, world.max_num_seqs, world.budget, world.budget, ahead)
    scheduler = Scheduler(limits, BlockCache(world.blocks, world.block_size), EncoderCache(world.encoder_capacity))
    to_come = [make_request(rng, number, world) for number in range(rng.randint(1, 15))]
    alive: dict[str, Request] = {}
    outputs: dict[str, list[int]] = {}
    device = Device(world, depth)
    last: Step | None = None

    def abort(probability: float) -> None:
        if aborts and alive and fate.random() < probability:
            gone = fate.choice(sorted(alive))
            assert scheduler.abort(gone) is not None
            del alive[gone]

    def complete() -> None:
        step, tokens = device.flying.pop(0)
        done = scheduler.complete(step, tokens)
        for index, (sequence, token, row) in enumerate(zip(done.sequences, done.tokens, done.rows, strict=True)):
            assert sequence.id in alive and sequence.id not in outputs
            assert token == tokens[row] == sequence.output[-1] == token_of(sequence, len(sequence.output) - 1)
            finish = done.ends.get(index)
            if finish is not None:
                params = sequence.request.params
                if finish == "stop":
                    assert token == END and len(sequence.output) > params.min_tokens
                else:
                    length = len(sequence.request.prompt) + len(sequence.output)
                    assert len(sequence.output) == params.max_tokens or length == world.max_model_len
                del alive[sequence.id]
                outputs[sequence.id] = sequence.output
            else:
                assert not sequence.removed

    for _ in range(20_000):
        if not (to_come or alive or device.flying):
            break
        while to_come and (not alive or fate.random() < 0.4):
            request = to_come.pop()
            alive[request.id] = request
            scheduler.add(Sequence(request, world.block_size))
        abort(0.03)
        scheduler.encoded(device.finished(fate))
        step = scheduler.schedule()
        device.features -= set(scheduler.encoder.take_evicted())
        if step.chunks or step.encodings:
            assert step.steady == (
                step.decodes is not None and last is not None and last.decodes is not None
                and [c.sequence for c in step.chunks] == [c.sequence for c in last.chunks]
            )  # fmt: skip
            last = step
            device.launch(step, scheduler)
        else:
            assert device.flying or not alive, "work is left, and the step is empty"
        scheduler.check()
        abort(0.05)  # a client leaves while the step runs
        while len(device.flying) > (depth if step.chunks or step.encodings else 0):
            complete()
            scheduler.check()
    else:
        raise AssertionError("no progress")
    assert scheduler.blocks.held == 0 and not scheduler.has_work
    return outputs


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 2**32 - 1), st.integers(0, 1), st.booleans())
def test_every_sequence_ends_exactly_once(world: World, seed: int, depth: int, ahead: bool) -> None:
    drive(world, seed, depth, aborts=True, ahead=ahead)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 2**32 - 1), st.booleans())
def test_a_step_in_flight_changes_no_output(world: World, seed: int, ahead: bool) -> None:
    plain, overlapped = drive(world, seed, 0, aborts=False), drive(world, seed, 1, aborts=False, ahead=ahead)
    assert plain == overlapped


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_block_cache_alone(total: int, seed: int) -> None:
    rng = random.Random(seed)
    cache = BlockCache(total, 4)
    tables: list[list[int]] = []
    for _ in range(200):
        match rng.choice(["allocate", "match", "publish", "release"]):
            case "allocate":
                count = rng.randint(1, total)
                before = cache.available
                taken = cache.allocate(count)
                assert (taken is None) == (count > before)
                if taken is not None:
                    tables.append(taken)
            case "match":
                found = cache.match([bytes([index]) for index in range(rng.randint(0, 5))])
                if found:
                    cache.hold(found)
                    tables.append(found)
            case "publish" if tables:
                for index, block in enumerate(rng.choice(tables)):
                    cache.publish(block, bytes([index]))
            case "release" if tables:
                cache.release(tables.pop(rng.randrange(len(tables))))
        cache.check(tables)
    for table in tables:
        cache.release(table)
    cache.check([])


def test_check_finds_a_lost_block() -> None:
    cache = BlockCache(4, 16)
    cache.allocate(1)
    try:
        cache.check([])
    except AssertionError as error:
        assert "block tables" in str(error)
    else:
        raise AssertionError("a hold without an owner went unnoticed")


def test_a_leaf_is_evicted_before_its_parent() -> None:
    cache = BlockCache(3, 1)
    table = cache.allocate(3)
    assert table is not None
    for index, block in enumerate(table):
        cache.publish(block, bytes([index]))
    cache.release(table)
    cache.allocate(1)
    assert cache.match([b"\0", b"\1", b"\2"]) == table[:2]


def test_equal_prompts_that_arrive_together_are_computed_once() -> None:
    limits = SchedulerLimits(max_model_len=200, max_num_seqs=8, max_num_batched_tokens=64, max_encoder_tokens=64)
    scheduler = Scheduler(limits, BlockCache(100, 4), EncoderCache(0))
    for number in range(8):
        params = SamplingParams(seed=number, max_tokens=3)
        scheduler.add(Sequence(Request(id=f"r{number}", prompt=list(range(101)), params=params), 4))
    while scheduler.has_work:
        step = scheduler.schedule()
        scheduler.complete(step, [1 for chunk in step.chunks if chunk.samples])
        scheduler.check()
    assert scheduler.stats().prefill_tokens <= 101 + 7  # the others compute the token that is never matched
    assert scheduler.stats().preemptions == 0
