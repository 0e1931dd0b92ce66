"""What an incident's facts prove not to be the reason, and what to try: pure rules, each a few lines.

A rule looks at one incident and says nothing where it does not apply. What is "ruled out" follows from the facts alone;
what is likely, or only often so, is advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from upright.plan.memory import gib
from upright.supervise.incidents.explain_crash import crash_advice
from upright.supervise.incidents.explain_facts import (
    STOPPED,
    answered_with_stacks,
    compiled_kernels_off,
    ended_by_front,
    error_text,
    exception_type,
    killed_from_outside,
    ran_out_of_memory,
)
from upright.supervise.incidents.explain_hang import hang_advice
from upright.supervise.incidents.explain_memory import memory_advice
from upright.supervise.incidents.explain_outside import outside_advice
from upright.supervise.incidents.incident import Incident
from upright.supervise.incidents.known_errors import known_error

Rule = Callable[[Incident], Iterator[str]]


FEW = 4  # suspects that are worth a line each


def explain(incident: Incident) -> tuple[list[str], list[str]]:
    """(ruled out, advice), the most particular first. Never empty advice."""
    ruled_out = [line for rule in RULED_OUT for line in rule(incident)]
    advice = [line for rule in ADVICE for line in rule(incident)]
    return ruled_out, list(dict.fromkeys(advice)) or list(_nothing_known(incident))


# ---- ruled out -------------------------------------------------------------------------------------------------------


def _not_the_oom_killer(incident: Incident) -> Iterator[str]:
    if killed_from_outside(incident) and incident.signal == "SIGKILL" and incident.oom_kills == 0:
        yield "the kernel's out-of-memory killer: 0 kills counted while this engine ran"


def _not_the_container(incident: Incident) -> Iterator[str]:
    if killed_from_outside(incident) and incident.signal == "SIGKILL":
        yield (
            "the end of the whole container or service (`docker stop`, `docker kill`, `systemctl stop`): the server's "
            "front process was not killed, and wrote this"
        )


def _not_from_outside(incident: Incident) -> Iterator[str]:
    if ended_by_front(incident):
        yield f"a SIGKILL from outside: Upright ended the engine itself ({' '.join(incident.how.split())})"
    elif incident.signal is None and incident.exit_code is not None:
        if incident.start_failure is not None:
            yield "a crash: the engine ended by itself, and says why"
        elif incident.exception is not None:
            yield f"a kill from outside: it ended by itself, with {exception_type(incident.exception)}"


def _not_stopped(incident: Incident) -> Iterator[str]:
    if incident.cause == "hang" and answered_with_stacks(incident):
        yield "a process that was stopped from outside: it wrote its stacks when it was asked for them"
    elif incident.how.startswith(STOPPED):
        yield "a loop or a deadlock: the kernel showed the process as stopped, so it was not running at all"


def _not_a_request(incident: Incident) -> Iterator[str]:
    if not incident.serving:
        yield "a request: it died before it served any"
    elif not incident.requests:
        yield "a request: none was in flight"


def _not_the_step(incident: Incident) -> Iterator[str]:
    step = incident.step
    if step is None or not incident.serving:
        return
    if step.phase == "idle":
        yield "a computation under way: the engine was idle"
    elif step.phase == "step" and step.done:
        yield f"a computation under way: step {step.number} was done, and the next had not begun"
    elif step.phase == "step" and step.images == 0:
        yield f"the vision tower: step {step.number} encoded no image"


def _not_the_gpu(incident: Incident) -> Iterator[str]:
    if incident.cause in ("crash", "hang") and incident.environment.options.get("device") == "cpu":
        yield "the GPU and its driver: the model ran on the CPU"


def _not_the_compiled_kernels(incident: Incident) -> Iterator[str]:
    if incident.cause == "crash" and incident.signal is not None and compiled_kernels_off(incident):
        yield "the kernels that Upright compiles on the machine: they were not in use"


RULED_OUT: tuple[Rule, ...] = (
    _not_the_oom_killer,
    _not_the_container,
    _not_from_outside,
    _not_stopped,
    _not_a_request,
    _not_the_step,
    _not_the_gpu,
    _not_the_compiled_kernels,
)

# ---- advice ----------------------------------------------------------------------------------------------------------


def _own_word(incident: Incident) -> Iterator[str]:
    if incident.start_failure is not None:
        yield incident.start_failure


def _known(incident: Incident) -> Iterator[str]:
    known = None if ran_out_of_memory(incident) else known_error(error_text(incident))
    if known is None:
        return
    environment = incident.environment
    for advice in known.advice:
        yield advice.format(
            driver=environment.driver or "of unknown version",
            gpus="; ".join(environment.gpus) or "of unknown name",
            torch=environment.torch or "(not installed)",
            batched=environment.options.get("max_num_batched_tokens", "the default"),
        )


def _what_was_aboard(incident: Incident) -> Iterator[str]:
    """Which request to try alone. A memory shortage and a kill from outside have no culprit among the requests."""
    if incident.cause not in ("crash", "hang"):
        return
    suspects = [request for request in incident.requests if request.suspected]
    aboard = [request for request in incident.requests if request.aboard]
    if len(suspects) > FEW:
        yield f"any of the {len(suspects)} suspects in the table may be the reason: another death tells them apart"
        return
    for request in suspects or (aboard if len(aboard) == 1 else []):
        with_images = f", {request.images} image{'s' if request.images > 1 else ''}" if request.images else ""
        times = f"{request.deaths} deaths" if request.deaths > 1 else "this death"
        recorded = "" if request.prompt is not None else "; --record-content keeps the tokens of the next one"
        yield (
            f"request {request.id} ({request.prompt_tokens} prompt tokens{with_images}) was aboard at {times}: send it "
            f"again to a server of its own to see whether it is the reason{recorded}"
        )


def _images(incident: Incident) -> Iterator[str]:
    step = incident.step
    if incident.cause != "hang" or step is None or step.done or not step.images:
        return
    limit = incident.environment.options.get("max_pixels")
    largest = max((request.image_tokens for request in incident.requests if request.aboard), default=0)
    of = f", of up to {largest} tokens for one request" if largest else ""
    now = f"now {limit}" if limit else "now the model's own limit"
    yield f"the step encoded {step.images} image{'s' if step.images > 1 else ''}{of}: lower --max-pixels ({now})"


def _smaller_already(incident: Incident) -> Iterator[str]:
    if incident.rung and incident.cause in ("memory", "crash"):
        name = f" ({incident.rung_name})" if incident.rung_name else ""
        yield f"it died though the configuration had been made smaller {incident.rung}×{name}: that alone is no cure"


def _nothing_known(incident: Incident) -> Iterator[str]:
    yield (
        "nothing here points at the machine or the configuration: please report it as a fault of Upright, with the "
        f"output of `upright incidents {incident.id}`"
    )


def _a_fault_of_upright(incident: Incident) -> Iterator[str]:
    """An exception that no rule knows is a fault in the program."""
    if incident.exception is None or incident.start_failure is not None or ran_out_of_memory(incident):
        return
    if known_error(error_text(incident)) is None:
        yield from _nothing_known(incident)


def _memory(incident: Incident) -> Iterator[str]:
    if ran_out_of_memory(incident):
        yield from memory_advice(incident)
    elif incident.oom_kills:
        environment = incident.environment
        yield (
            f"memory is short on this machine: while the engine ran, the kernel's out-of-memory killer was counted "
            f"{incident.oom_kills} times; {gib(environment.memory_available)} of {gib(environment.memory_total)} are "
            "free now"
        )


ADVICE: tuple[Rule, ...] = (
    _own_word,
    _memory,
    _known,
    outside_advice,
    crash_advice,
    hang_advice,
    _what_was_aboard,
    _images,
    _smaller_already,
    _a_fault_of_upright,
)
