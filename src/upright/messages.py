"""Everything that crosses a process boundary, and nothing else.

The front (HTTP, journal) and the engine (scheduler, model) share only these values, encoded as msgpack over ipc
sockets. Nothing here imports torch. Prompt and output stay apart for ever: penalties, n-gram bans and `min_tokens`
count output only, so a replay that presented recovered output as prompt would change the answer.
"""

from __future__ import annotations

from typing import Literal

import msgspec

FinishReason = Literal["stop", "length", "abort", "error"]


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """A value that is sent on its own, told apart by its type's name."""


class Image(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One image of a prompt: its bytes as the client sent them, and where its placeholder tokens stand.

    `key` names the content together with the target size, so equal keys mean equal vision features.
    """

    content: bytes
    key: bytes  # 16 bytes
    start: int  # index in the prompt of the first placeholder token
    grid_height: int  # patches, before merging
    grid_width: int
    tokens: int  # placeholder tokens: grid_height * grid_width / merge_size**2


GREEDY_BELOW = 1e-5  # temperatures under this are greedy: dividing by them would overflow float32


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn for one sequence. Every default is resolved by the front; the engine fills in nothing."""

    seed: int  # 0 <= seed < 2**63; noise is a function of (seed, output position, token id)
    max_tokens: int  # output tokens at most
    min_tokens: int = 0  # `end_token_ids` are masked before this many output tokens
    temperature: float = 1.0  # 0 is greedy
    top_p: float = 1.0
    top_k: int = 0  # 0: no limit
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0  # 0: no ban
    logit_bias: dict[int, float] = msgspec.field(default_factory=dict)
    end_token_ids: tuple[int, ...] = ()  # end-of-sequence ids (unless ignored) and the client's stop ids
    logprobs: int | None = None  # None: none; k: the chosen token's and the k likeliest


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One sequence to generate. `output` is empty at first and holds the recovered tokens on a replay."""

    id: str
    prompt: list[int]
    params: SamplingParams
    images: tuple[Image, ...] = ()
    output: list[int] = msgspec.field(default_factory=list)
    attempt: int = 0  # times that it was handed to an engine before; outputs repeat it, so that late ones are known


class TokenLogprobs(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Natural logs of probabilities for one position, before temperature and after no penalty (raw model)."""

    logprob: float  # of the chosen token
    rank: int  # of the chosen token, 1 is the likeliest
    top: list[tuple[int, float]]  # (token id, logprob), likeliest first


class RequestFault(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why the engine could not serve one request, told to the person who sent it."""

    code: str  # e.g. "invalid_image"
    message: str
    image: int | None = None  # index among the request's images of the one at fault; only the front knows its place
    servers: bool = False  # the fault is the server's own, and not one of the request


class SequenceOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one step added to one sequence."""

    id: str
    tokens: list[int]
    at: int = 0  # index in the whole output of the first of `tokens`: a gap means that a message was lost
    attempt: int = 0  # of the request that this answers
    logprobs: list[TokenLogprobs] = msgspec.field(default_factory=list)  # one per token when asked for
    finish: FinishReason | None = None
    cached_tokens: int | None = None  # prompt tokens served from the prefix cache; sent with the first token
    fault: RequestFault | None = None  # with finish == "error"


class PlainTokens(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One token each for sequences of which a step has nothing else to tell: the bulk of all that an engine says.

    Four lists of one length; entry i says the same as `SequenceOutput(id=ids[i], tokens=[tokens[i]], at=at[i],
    attempt=attempts[i])`. First tokens (`cached_tokens`), log probabilities, ends and faults never come in this form,
    and a sequence is told of once in a message: here or among the outputs.
    """

    ids: list[str]
    at: list[int]
    attempts: list[int]
    tokens: list[int]

    def outputs(self) -> list[SequenceOutput]:
        """The same in the long form, for whoever is in no hurry."""
        rows = zip(self.ids, self.at, self.attempts, self.tokens, strict=True)
        return [SequenceOutput(id=name, tokens=[token], at=at, attempt=attempt) for name, at, attempt, token in rows]


class EngineStats(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Gauges after a step, and counters since the engine started."""

    running: int
    waiting: int
    blocks_used: int  # held by sequences
    blocks_cached: int  # idle, reusable by prefix
    blocks_total: int
    preemptions: int
    prefix_queried_tokens: int
    prefix_hit_tokens: int
    steps: int
    prefill_tokens: int
    decode_tokens: int
    images_encoded: int


# ---- front to engine -------------------------------------------------------------------------------------------------


class Load(Message, frozen=True):
    """Load the model and serve. Sent once; until then the process holds no device memory."""

    options: EngineOptions


class Submit(Message, frozen=True):
    request: Request


class Abort(Message, frozen=True):
    ids: list[str]


class Stop(Message, frozen=True):
    """Leave now; the front has nothing in flight."""


ToEngine = Load | Submit | Abort | Stop

# ---- engine to front -------------------------------------------------------------------------------------------------


class Waiting(Message, frozen=True):
    """Everything that serving needs is imported; the process waits for `Load`."""


class Loading(Message, frozen=True):
    """Progress at start-up. `done` and `total` are in `unit`s; total 0 means that it is not known."""

    stage: str
    done: int
    total: int
    unit: str = ""


class AttentionChoice(msgspec.Struct, frozen=True):
    """Which attention candidate serves a use, and why the ones before it do not."""

    use: str  # "decoder" or "vision"
    name: str
    declined: dict[str, str]  # candidate → reason


class MemoryPart(msgspec.Struct, frozen=True):
    name: str  # weights, activations, kv cache, …
    bytes: int


class Ready(Message, frozen=True, kw_only=True):
    """The engine serves. What it measured and chose, for the banner and the next plan."""

    device: str
    device_name: str
    dtype: str
    attention: list[AttentionChoice]
    memory: list[MemoryPart]
    block_size: int
    blocks: int
    max_model_len: int
    max_num_seqs: int
    load_seconds: float
    threads: int
    wide_layers: list[int] = msgspec.field(default_factory=list)  # of the decoder, which would overflow float16


class StepDone(Message, frozen=True):
    """What a step added: every sequence that gained something is among `outputs` or, with a bare token, in `plain`."""

    outputs: list[SequenceOutput]
    stats: EngineStats
    plain: PlainTokens | None = None


class StartFailed(Message, frozen=True):
    """Start-up cannot succeed as configured. `advice` is the one thing to change."""

    message: str
    advice: str = ""
    memory: bool = False  # less memory might do: a smaller configuration is worth a try


class Crashed(Message, frozen=True):
    """The engine's last words: an exception that nobody handled, while it loaded or served."""

    exception: str  # type and message
    traceback: str
    memory: bool  # it ran out of memory


FromEngine = Waiting | Loading | Ready | StepDone | StartFailed | Crashed


# ---- how an engine is started ----------------------------------------------------------------------------------------


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All that an engine process is told. Made by the plan from what the user set; resolved, and never changed."""

    model_path: str
    device: str  # "cpu" or "cuda"
    dtype: str  # "float32", "float16" or "bfloat16"
    load_format: str  # "auto" or "dummy"
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_bytes: int | None  # None: the engine takes what is left of its share after measuring
    block_size: int
    max_pixels: int | None  # None: as the model's image processor says
    seed: int
    attention: str | None = None  # force one candidate by name
    native: bool = True  # let compiled C kernels serve small steps on a CPU
    overlap: bool = False  # schedule and launch a step while the device still runs the one before
    graphs: bool = False  # replay decode steps as CUDA graphs
    portable: bool = False  # no kernels but those that cards before sm80 have too
    gpu_memory_utilization: float = 0.9  # of a GPU's memory, the share that the engine may take; see kv_cache_bytes
    measured: str | None = None  # JSON file that keeps what was measured on a GPU; None: nothing is kept
    overflowed: str | None = None  # JSON file that keeps which layers overflow float16; None: nothing is kept
    threads: int = 0  # CPU threads; 0: all cores of the machine
    faults: str | None = None  # directory that asks for faults; for tests only


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Written to the engine's standard input, once. What to load comes later, as `Load`."""

    address: str  # the ipc socket to connect to
    life_fd: int  # reads end-of-file when the front is gone
    black_box_fd: int  # a file of `engine.black_box.SIZE` bytes
    stacks_fd: int  # a file that the interpreter writes its stacks to when it dies or is asked (SIGUSR1)
    log_level: str = "info"
