"""Who may have ended or stopped an engine from outside, and how to find out."""

from __future__ import annotations

from collections.abc import Iterator

from upright.plan.memory import gib
from upright.supervise.incidents.explain_facts import STOPPED, killed_by_oom_killer, killed_from_outside, signal_number
from upright.supervise.incidents.incident import Incident

SENDERS = {
    "SIGKILL": "look for a watchdog, a memory guard (systemd-oomd, earlyoom), a job scheduler's limit on a process, "
    "and a person's `kill -9`",
    "SIGTERM": "end the server itself rather than its engine: send SIGTERM to `upright serve`, and it drains first",
    "SIGINT": "end the server itself rather than its engine: press Ctrl-C in its terminal, and it drains first",
    "SIGHUP": "a terminal or session that ended sends it: run the server as a service, or under tmux",
    "SIGXCPU": "its limit of CPU time was used up: see `ulimit -t`, and LimitCPU of systemd; lift it for a server",
    "SIGXFSZ": "a file grew past its limit: see `ulimit -f`",
}
LITTLE_MEMORY = 0.1  # of the whole


def outside_advice(incident: Incident) -> Iterator[str]:
    if incident.how.startswith(STOPPED):
        yield (
            "someone or something stopped it (SIGSTOP): look for a debugger (gdb, strace, py-spy), cpulimit, a freezer "
            "such as `docker pause`, a battery or suspend tool of a laptop, Ctrl-Z or a person's `kill -STOP`"
        )
        yield _tracing("SIGSTOP")
    elif killed_from_outside(incident) and not killed_by_oom_killer(incident):
        assert incident.signal is not None
        sender = SENDERS.get(incident.signal, "a process does not send it to itself in the ordinary course of things")
        yield f"someone or something sent {incident.signal}: {sender}"
        if incident.signal == "SIGKILL":
            yield from _memory_guards(incident)
        yield _tracing(incident.signal)


def _memory_guards(incident: Incident) -> Iterator[str]:
    environment = incident.environment
    if incident.oom_kills is None:
        yield (
            "whether the kernel killed it for memory cannot be read here: see "
            "`dmesg -T | grep -i -E 'killed process|out of memory'` on the host"
        )
    held = incident.resident_bytes
    if held is None or not environment.memory_total:
        return
    # What was free beside it: the report is made when its memory has been given back.
    beside = max(0, environment.memory_available - held)
    if beside < LITTLE_MEMORY * environment.memory_total:
        yield (
            f"it held {gib(held)} when last seen, which left {gib(beside)} of {gib(environment.memory_total)}: guards "
            "act before the kernel does; see `journalctl -u systemd-oomd -u earlyoom`, and lower --kv-cache-memory"
        )


def _tracing(signal: str) -> str:
    number = signal_number(signal)
    return (
        "to see the sender the next time, leave this running: `sudo bpftrace -e 'tracepoint:signal:signal_generate "
        f'/args->sig == {number}/ {{ printf("%s (%d) to %d\\n", comm, pid, args->pid); }}\'`'
        if number is not None
        else "the audit log (`ausearch -m OBJ_PID`) may name the sender"
    )
