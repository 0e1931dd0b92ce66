"""The keeper, the policy, the watch and the journal against a model engine, seeded faults and a virtual clock.

One seed is one schedule: requests, clients, faults, poisons, rungs, delays. Everything is drawn from one
`Random(seed)`, so whatever goes wrong can be replayed, event by event. What must hold is asserted all along.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from model_engine import Build, Clock, ModelEngine, Poison, answer_to

from upright.messages import Abort, Image, PlainTokens, Request, SamplingParams, SequenceOutput, Submit
from upright.supervise import policy
from upright.supervise.incidents.autopsy import in_step
from upright.supervise.inquiry import Accused
from upright.supervise.journal import CrashesEngine, DeadlinePassed, EngineGone, Entry
from upright.supervise.keeper import EngineEnd, Keeper, LostContact
from upright.supervise.policy import Cause, FailedStart, RungTraits, State
from upright.supervise.watch import SLACK, Hang, Sight, Watch

LOOK_SECONDS = 0.2
BLAMABLE = ("crash", "memory", "hang", "hang idle")  # faults that look like a request's or a rung's
TOLERATED = 0.9 * SLACK  # times what a step was expected to take, that a healthy one may take
TRACE = 60  # events that are shown of a schedule that fails


@dataclass
class Plan:
    """What is going to happen, as drawn from the seed."""

    kind: str
    ladder: tuple[RungTraits, ...]
    sick_below: int = 0  # rungs with a smaller index are sick
    sickness: str = ""  # "start", "step" or "idle"
    sick_cause: str = "crash"
    sick_until: float = 1e9
    warm: bool = False  # many requests are served first
    max_num_seqs: int = 8
    budget: int = 64
    patience: float = 2.0
    terminate_at: float | None = None
    drain_seconds: float = 10.0
    poisons: dict[tuple[int, ...], Poison] = field(default_factory=dict)
    faults: list[tuple[float, str]] = field(default_factory=list)
    faults_until: float = 0.0
    step_faults: dict[int, str] = field(default_factory=dict)  # number of the step → what happens in it
    start_faults: dict[int, str] = field(default_factory=dict)  # number of the start → how it fails


@dataclass
class Client:
    """Whoever sent one request, and what came back."""

    request: Request
    leaves_at: float | None = None
    timeout: float | None = None
    retries: int = 0  # times that the same content is sent again, whatever happened
    retry_after: float = 0.5
    entry: Entry | None = None
    seen: int = 0  # tokens that it was shown
    outcome: str = ""  # how it ended, once


@dataclass
class Outcome:
    seed: int
    kind: str
    seen: Counter[str]
    deaths: int
    starts: int
    seconds: float  # virtual


class Simulation:
    """A supervisor's shell around the real parts, as small as it gets."""

    def __init__(self, seed: int, keep_all: bool = False) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = Clock()
        self.trace: deque[tuple[float, str, tuple[Any, ...]]] = deque(maxlen=None if keep_all else TRACE)
        self.seen: Counter[str] = Counter()
        self.clients: dict[str, Client] = {}
        self.open_clients = 0
        self.to_come = 0  # requests and faults that are still to come
        self.plan = self._draw()
        self.keeper = Keeper(State(ladder=self.plan.ladder), self.send)
        self.keeper.on_convicted = self.convicted
        self.watch = Watch(self.plan.patience)
        self.engine: ModelEngine | None = None
        self.number = 0  # of the engine, counted from 1
        self.deaths = 0
        self.by_others = 0  # deaths and failed starts that the plan has asked for
        self.random_deaths = 0  # of these, those that look like somebody's fault
        self.failed = ""
        self.draining = False
        self.stopped = False
        self.planned = False
        self.hang: Hang | None = None
        self.last_message = 0.0
        self.front_sleeps_until = 0.0
        self.missed: list[tuple[Any, tuple[Any, ...]]] = []  # what waits for the front to wake
        self.naps: list[tuple[float, float]] = []
        self.drop_output = self.drop_submit = self.drop_last = 0
        self.refused = False
        self.steps = 0
        self.looks = 0
        self.scapegoats: set[tuple[int, ...]] = set()
        self.to_engine_at = self.to_front_at = 0.0  # messages do not overtake each other
        self.delay = self.random.choice([0.0, 0.0, 0.0, 0.1, 0.3]) if self.plan.kind != "pure poison" else 0.0

    # ---- the plan ----------------------------------------------------------------------------------------------------

    def _draw(self) -> Plan:
        random = self.random
        kind = random.choices(
            ["faults", "pure poison", "poison", "sick rung", "all", "every rung sick", "climb"],
            [30, 12, 20, 14, 18, 4, 2],
        )[0]
        rungs = random.randint(1, 3)
        relief = random.randrange(1, 4)
        ladder = tuple(RungTraits(f"rung{n}", n == relief) for n in range(rungs))
        plan = Plan(kind, ladder)
        plan.patience = random.choice([0.5, 1.0])
        plan.max_num_seqs = random.choice([1, 2, 4, 8, 8, 16])
        plan.budget = random.choice([8, 16, 64, 64, 256])
        many = random.random() < 0.04
        count = random.randint(20, 64) if many else random.randint(1, 10)
        together = kind == "pure poison" or random.random() < 0.3
        if kind in ("sick rung", "climb"):
            plan.sick_below = random.randint(1, rungs)
            if plan.sick_below == rungs:
                plan.ladder = (*ladder, RungTraits("last"))
        elif kind == "every rung sick":
            plan.sick_below = rungs
        elif kind == "all" and rungs > 1 and random.random() < 0.3:
            plan.sick_below = random.randint(1, rungs - 1)
        if plan.sick_below:
            plan.sickness = random.choice(["start", "step", "step", "idle"])
            plan.sick_cause = random.choice(["crash", "memory", *(["hang"] if plan.sickness != "start" else [])])
            if kind == "climb":
                plan.sick_until = random.choice([100.0, 2500.0, 1e9])
        plan.warm = kind == "pure poison" or (kind == "poison" and random.random() < 0.3)
        self._draw_requests(plan, count, together, long=many)
        for number in range(24 if plan.warm else 0):  # the configuration has served before
            self._later(0.0, self.arrive, Client(self._request(f"warm{number}", (1000 + number,), 60, number, False)))
        if kind == "pure poison":
            plan.max_num_seqs, plan.budget = 64, 1024
        if kind in ("faults", "all", "poison"):
            self._draw_faults(plan)
        if kind in ("faults", "all") and random.random() < 0.25:
            plan.terminate_at = random.uniform(0.0, 12.0)
            plan.drain_seconds = random.choice([0.5, 3.0, 60.0])
        return plan

    def _draw_requests(self, plan: Plan, count: int, together: bool, long: bool) -> None:
        random, pure = self.random, plan.kind == "pure poison"
        culprits = 0
        if plan.kind in ("pure poison", "poison", "all"):
            culprits = min(count, random.choice([0, 1, 1, 1, 2, 3] if not pure else [1, 1, 1, 2, 3]))
        guilty = set(random.sample(range(count), culprits))
        twin = culprits > 1 and random.random() < 0.2
        prompts: list[tuple[int, ...]] = []
        for number in range(count):
            prompt = tuple(random.randrange(1000) for _ in range(random.randint(1, 6 if long else 20)))
            images = random.random() < 0.15 and not pure
            if number in guilty:
                if twin and any(one in plan.poisons for one in prompts):
                    prompt = next(one for one in prompts if one in plan.poisons)
                else:
                    where = random.choice(["prompt", "output", *(["output", "decoding"] if images else [])])
                    index = random.randrange(len(prompt)) if where == "prompt" else random.choice([0, 1, 3, 12])
                    cause = random.choice(["crash", "crash", "memory", "hang"])
                    if where == "decoding" and cause == "memory":
                        cause = "crash"
                    plan.poisons[prompt] = Poison(where, index, cause)
                images = images or plan.poisons[prompt].where == "decoding"
            prompts.append(prompt)
            tokens = random.choice([1, 2, 5, 10, 20, 40 if not long else 10])
            if number in guilty:
                tokens = max(tokens, plan.poisons[prompt].index + 1)
            client = Client(self._request(f"r{number}", prompt, tokens, number, images))
            if not pure and random.random() < 0.12:
                client.leaves_at = random.expovariate(0.3)
            if not pure and random.random() < 0.08:
                client.timeout = random.choice([0.3, 2.0, 20.0, 60.0])
            if prompt in plan.poisons and not pure and random.random() < 0.5:
                client.retries = random.choice([1, 2])
                client.retry_after = random.choice([0.1, 1.0, 5.0, 700.0])
            arrives = 30.0 * plan.warm + (0.0 if together else random.uniform(0.0, 6.0))
            if plan.kind == "climb" and number >= count // 2:
                arrives = random.uniform(1500.0, 9000.0)
            self._later(arrives, self.arrive, client)

    def _request(self, name: str, prompt: tuple[int, ...], tokens: int, seed: int, images: bool) -> Request:
        picture = (Image(b"", bytes(16), 0, 2, 2, 1),) if images else ()
        params = SamplingParams(seed=seed, max_tokens=tokens)
        return Request(id=name, prompt=list(prompt), params=params, images=picture)

    def _draw_faults(self, plan: Plan) -> None:
        random = self.random
        kinds = ["crash", "memory", "outside", "outside", "hang", "hang idle", "stop", "pause", "slow", "slow", "nap",
                 "nap", "drop output", "drop last", "drop submit", "delay"]  # fmt: skip
        until = random.choice([2.0, 8.0, 30.0])
        for _ in range(random.choice([0, 1, 2, 3, 4, 6])):
            if random.random() < 0.5:
                plan.step_faults[random.randint(1, 60)] = random.choice(kinds)
            else:
                plan.faults.append((random.uniform(0.0, until), random.choice(kinds)))
        if random.random() < 0.02:
            plan.faults += [(n * 1.2, "outside") for n in range(40)]
        for start in range(1, 6):
            if random.random() < 0.06:
                plan.start_faults[start] = random.choice(["crash", "memory", "outside", "hang", "slow", "refused"])
        plan.faults_until = max((when for when, _ in plan.faults), default=0.0)
        for when, kind in plan.faults:
            self._later(when, self.fault, kind)

    def _later(self, when: float, what: Any, *arguments: Any) -> None:
        self.to_come += 1
        self.clock.at(when, self._now_comes, what, arguments)

    def _now_comes(self, what: Any, arguments: tuple[Any, ...]) -> None:
        self.to_come -= 1
        what(*arguments)

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        try:
            self._run()
        except (Exception, RecursionError) as error:
            shown = "\n".join(f"{when:10.3f}  {what % arguments}" for when, what, arguments in self.trace)
            raise AssertionError(
                f"seed {self.seed} ({self.plan.kind}): {type(error).__name__}: {error}\n{self.plan}\n{shown}"
            ) from error
        return Outcome(self.seed, self.plan.kind, self.seen, self.deaths, self.number, self.clock.now)

    def _run(self) -> None:
        if self.plan.terminate_at is not None:
            self._later(self.plan.terminate_at, self.terminate)
        self.start_engine()
        limit = 20000.0 + (12000.0 if self.plan.kind == "climb" else 0.0)
        while (self.to_come or self.open_clients) and self.clock.advance():
            assert self.clock.now < limit, "something never ends"
        self.check()
        self.check_end()

    def note(self, what: str, *arguments: Any) -> None:
        self.trace.append((self.clock.now, what, arguments))

    def in_front(self, what: Any, *arguments: Any) -> bool:
        """True if the front is awake; else `what` happens once it is."""
        if self.clock.now >= self.front_sleeps_until:
            return True
        self.missed.append((what, arguments))
        return False

    def wake(self) -> None:
        if self.clock.now >= self.front_sleeps_until:
            missed, self.missed = self.missed, []
            if self.random.random() < 0.5:  # it may look at the engine before it has read what the engine sent
                missed.sort(key=lambda one: one[0] != self.look)
            for what, arguments in missed:
                what(*arguments)

    # ---- clients -----------------------------------------------------------------------------------------------------

    def arrive(self, client: Client) -> None:
        if not self.in_front(self.arrive, client):
            return
        name = client.request.id
        if self.draining or self.failed:
            self.note("%s is turned away", name)
            self.seen["turned away"] += 1
            return
        try:
            client.entry = self.keeper.submit(client.request, self.clock.now, client.timeout)
        except CrashesEngine:
            assert self.content(client.request) in self.guilty, f"{name} was refused, and is innocent"
            self.note("%s is refused: its content is remembered", name)
            self.seen["refuse remembered"] += 1
            self.retry(client)
            return
        self.clients[name] = client
        self.open_clients += 1
        tokens = len(answer_to(client.request)[0])
        self.note("%s arrives: prompt %d, answer %d", name, len(client.request.prompt), tokens)
        self.look_soon()
        if client.leaves_at is not None:
            self._later(self.clock.now + client.leaves_at, self.leave, client)
        self.check()

    def leave(self, client: Client) -> None:
        if client.outcome:
            return
        self.note("%s: the client leaves", client.request.id)
        self.seen["client leaves while " + ("served" if self.keeper.serving else "recovering")] += 1
        if client.request.id in self.keeper.state.trial:
            self.seen["client leaves in a trial"] += 1
        self.conclude(client, "left")
        self.retry(client)
        self.check()

    def retry(self, client: Client) -> None:
        if client.retries:
            old = client.request
            name = old.id + "'"
            request = Request(id=name, prompt=old.prompt, params=old.params, images=old.images)
            again = Client(request, client.leaves_at, None, client.retries - 1, client.retry_after)
            self._later(self.clock.now + client.retry_after, self.arrive, again)

    def conclude(self, client: Client, outcome: str) -> None:
        assert not client.outcome, f"{client.request.id} ends twice: {client.outcome}, {outcome}"
        client.outcome = outcome
        self.open_clients -= 1
        self.keeper.release(client.request.id)

    def show(self) -> None:
        """Clients look at what is there, and those who have everything leave."""
        for client in [one for one in self.clients.values() if not one.outcome]:
            entry = client.entry
            assert entry is not None
            length = len(entry.output)
            if length > client.seen or entry.done:
                expected, finish = answer_to(client.request)
                assert tuple(entry.output) == expected[:length], f"{client.request.id} was told other tokens"
                assert length >= client.seen, f"{client.request.id} has lost tokens"
                client.seen = length
                if entry.done:
                    self._end(client, entry, expected, finish)

    def _end(self, client: Client, entry: Entry, expected: tuple[int, ...], finish: str) -> None:
        name = client.request.id
        if entry.lost is None:
            assert entry.finish == finish and len(entry.output) == len(expected), f"{name} ended too early"
            self.note("%s is finished", name)
            self.conclude(client, "finished")
            return
        assert entry.finish is None
        reason = entry.lost
        self.note("%s is lost: %s", name, type(reason).__name__)
        if isinstance(reason, CrashesEngine):
            assert self.content(client.request) in self.guilty, f"{name} is innocent, and was convicted"
        elif isinstance(reason, DeadlinePassed):
            assert entry.deadline is not None and entry.deadline <= self.clock.now, f"{name} was ended before its time"
        else:
            assert self.failed or self.stopped, f"{name} was given up"
        self.seen[f"lost: {type(reason).__name__}"] += 1
        self.conclude(client, "lost")
        if isinstance(reason, CrashesEngine):
            self.retry(client)

    @staticmethod
    def content(request: Request) -> tuple[int, ...]:
        return tuple(request.prompt)

    @property
    def guilty(self) -> set[tuple[int, ...]]:
        return set(self.plan.poisons) | self.scapegoats

    # ---- engines -----------------------------------------------------------------------------------------------------

    def start_engine(self) -> None:
        if self.stopped or self.failed:
            return
        self.number += 1
        assert self.number <= self.most_starts(), f"{self.number} engines were started"
        plan, random, rung = self.plan, self.random, self.keeper.state.rung
        fault = plan.start_faults.get(self.number)
        load = [random.uniform(0.1, 0.5) for _ in range(random.randint(1, 3))]
        if fault == "slow":
            load += [random.choice([20.0, 200.0, 400.0])] * 2
            self.seen["slow start"] += 1
        failure = fault if fault != "slow" else None
        dies_at_step = dies_when_idle = None
        if rung < plan.sick_below and self.clock.now < plan.sick_until:
            self.seen["sick rung: " + plan.sickness] += 1
            if plan.sickness == "start":
                failure = failure or plan.sick_cause
            elif plan.sickness == "step":
                dies_at_step = random.choice([1, 1, 2, 4])
            else:
                dies_when_idle = random.uniform(0.0, 0.3)
        if failure is not None:
            self.seen["failed start: " + failure] += 1
            self.by_others += 1
        self.refused = failure == "refused"
        build = Build(
            plan.max_num_seqs, plan.budget, 1 if plan.kind == "pure poison" else random.choice([1, 1, 2, 3]),
            tuple(load),
            "crash" if failure == "refused" else failure, dies_at_step, dies_when_idle, plan.sick_cause,
        )  # fmt: skip
        self.note("engine %d starts on rung %d (%s)", self.number, rung, failure or "sound")
        self.hang, self.planned = None, False
        self.watch = Watch(plan.patience)
        self.to_engine_at = self.to_front_at = self.clock.now
        self.last_message = self.clock.now
        self.engine = ModelEngine(self.clock, random, build, plan.poisons, self)
        self.look_soon()

    def stepping(self, engine: ModelEngine, seconds: float) -> None:
        """A step begins."""
        self.steps += 1
        kind = self.plan.step_faults.get(self.steps)
        if kind is not None:
            self.clock.after(self.random.uniform(0.0, seconds), self.fault, kind)

    def ready(self, engine: ModelEngine) -> None:
        self.to_front_at = max(self.to_front_at, self.clock.now + self.random.uniform(0.0, 0.01))
        self.clock.at(self.to_front_at, self.serves, engine)

    def serves(self, engine: ModelEngine) -> None:
        if engine is self.engine and self.in_front(self.serves, engine):
            self.note("engine %d serves", self.number)
            replays = self.keeper.replays
            self.last_message = self.clock.now
            self.keeper.engine_serves(self.clock.now)
            self.seen["replay"] += self.keeper.replays - replays
            self.check()

    def send(self, message: Submit | Abort) -> None:
        """From the front to the engine."""
        engine = self.engine
        assert engine is not None and self.keeper.serving, "a message to no engine"
        if isinstance(message, Submit):
            name = message.request.id
            assert policy.may_run(self.keeper.state, name), f"{name} may not run"
            entry = self.keeper.journal.get(name)
            assert entry is not None and not entry.done, f"{name} is handed over after its end"
            self.note("→ submit %s, attempt %d, output %d", name, message.request.attempt, len(message.request.output))
            if self.drop_submit:
                self.drop_submit -= 1
                engine.lost_messages += 1
                self.note("  which is lost")
                self.seen["lost submit"] += 1
                return
        else:
            self.note("→ abort %s", message.ids)
        self.last_message = self.clock.now
        delay = self.random.uniform(0.0, 0.02) if self.plan.kind != "pure poison" else 0.0
        self.to_engine_at = max(self.to_engine_at, self.clock.now + delay)
        self.clock.at(self.to_engine_at, engine.receive, message)

    def tell(self, engine: ModelEngine, outputs: list[SequenceOutput]) -> None:
        """From the engine to the front."""
        if self.drop_output or (self.drop_last and any(one.finish for one in outputs)):
            self.seen["lost last output" if not self.drop_output else "lost output"] += 1
            self.drop_output = self.drop_last = 0
            engine.lost_messages += 1
            self.note("← %s, which is lost", [one.id for one in outputs])
            return
        self.to_front_at = max(self.to_front_at, self.clock.now + self.random.uniform(0.0, 0.01) + self.delay)
        self.clock.at(self.to_front_at, self.hear, engine, outputs)

    def hear(self, engine: ModelEngine, outputs: list[SequenceOutput]) -> None:
        if engine is not self.engine or not self.in_front(self.hear, engine, outputs):
            return
        self.last_message = self.clock.now
        before = self.keeper.state
        late = [
            one for one in outputs
            if (entry := self.keeper.journal.get(one.id)) is None or one.attempt != entry.handed_over - 1
        ]  # fmt: skip
        self.seen["late output"] += len(late)
        current = {one.id for one in outputs if one not in late}
        entries = [
            entry for one in late if one.id not in current and (entry := self.keeper.journal.get(one.id)) is not None
        ]
        lengths = [len(entry.output) for entry in entries]
        try:
            self.keeper.take(*told_shortly(outputs, self.clock.now))
        except LostContact as error:
            assert engine.lost_messages, f"contact was lost, and no message was: {error}"
            self.seen["lost contact"] += 1
            self.condemn(Hang("crash", str(error), 0.0))
        assert [len(entry.output) for entry in entries] == lengths, "an output of a former attempt was taken"
        if len(self.keeper.state.poisons) > len(before.poisons):
            self.seen["convict by elimination"] += 1
        self.show()
        self.check()

    def died(self, engine: ModelEngine, cause: str) -> None:
        """The process has ended. The front will notice."""
        self.note("engine %d dies: %s", self.number, cause)
        self.clock.after(self.random.choice([0.0, 0.01, 0.1]), self.notice, engine, cause)

    def notice(self, engine: ModelEngine, cause: str) -> None:
        if engine is not self.engine or not self.in_front(self.notice, engine, cause):
            return
        if self.clock.now < self.to_front_at:  # its last words are still on their way
            self.clock.at(self.to_front_at, self.notice, engine, cause)
            return
        keeper, before = self.keeper, self.keeper.state
        self.engine = None
        self.show()
        if self.stopped:
            return
        if self.planned:
            keeper.engine_replaced()
            self.clock.after(0.0, self.start_engine)
            self.check()
            return
        found: Cause = self.hang.cause if self.hang is not None else cause  # type: ignore[assignment]
        self.deaths += 1
        if keeper.serving:
            self.seen["death: " + found] += 1
            end = EngineEnd(self.clock.now, found, in_step(engine.reading()), f"i{self.deaths}")
            decision = keeper.engine_ended(end)
        else:
            how = "refused" if self.refused else None
            failed = FailedStart(self.clock.now, found, "failed to start", how)
            keeper.state, decision = policy.after_failed_start(before, failed)
        state = keeper.state
        self.note("noticed, %s: %s", found, "; ".join(decision.why))
        if state.rung > before.rung:
            self.seen["step down"] += 1
        if state.relapses > before.relapses:
            self.seen["relapse"] += 1
        if state.trial and not before.inquiry.open:
            self.seen["inquiry"] += 1
        elif len(before.trial) > 1 and state.trial:
            self.seen["split"] += 1
        if decision.convicted:
            self.seen["convict"] += len(decision.convicted)
        if decision.delay is None:
            self.give_up(decision.why[-1])
        else:
            assert decision.delay <= policy.LONGEST_DELAY
            self.clock.after(decision.delay, self.start_engine)
        self.show()
        self.check()

    def give_up(self, why: str) -> None:
        self.note("no more engines: %s", why)
        self.seen["give up"] += 1
        assert self.may_give_up(), f"given up without need: {why}"
        self.failed = why
        self.keeper.lose_all(EngineGone(why, 60))

    def convicted(self, accused: Accused) -> None:
        client = self.clients[accused.suspect.id]
        self.note("%s is convicted", accused.suspect.id)
        content = self.content(client.request)
        if content not in self.plan.poisons and self.may_be_wronged():
            self.seen["scapegoat"] += 1
            self.scapegoats = self.scapegoats | {content}
        assert content in self.guilty, f"{accused.suspect.id} is innocent, and was convicted"

    # ---- the clock ---------------------------------------------------------------------------------------------------

    def look_soon(self, seconds: float = LOOK_SECONDS) -> None:
        if self.engine is not None:
            self.looks += 1
            self.clock.after(seconds, self.look, self.engine, self.looks)

    def look(self, engine: ModelEngine, number: int) -> None:
        if engine is not self.engine or number != self.looks or self.stopped:
            return
        if not self.in_front(self.look, engine, number):
            return
        keeper, now = self.keeper, self.clock.now
        if keeper.expire(now):
            self.seen["expired"] += 1
            self.show()
            self.check()
        if self.hang is None and engine.alive:
            sight = Sight(now, engine.reading(), engine.stopped, len(keeper.aboard), self.last_message)
            hang = self.watch.look(sight, keeper.state.patience)
            if hang is not None:
                self.check_hang(engine, hang)
                self.condemn(hang)
            else:
                self.try_higher_rung(engine)
        quiet = (
            engine.build.dies_when_idle is None
            and engine.healthy
            and engine.serves
            and keeper.serving
            and not self.open_clients
            and not self.draining
        )
        if quiet and now > self.plan.faults_until:
            self.look_soon(20.0)
        else:
            self.look_soon(LOOK_SECONDS if engine.serves else 4 * LOOK_SECONDS)

    def try_higher_rung(self, engine: ModelEngine) -> None:
        keeper = self.keeper
        if not keeper.serving or self.draining:
            return
        state = policy.climb(keeper.state, self.clock.now, idle=not len(keeper.journal))
        if state is not keeper.state:
            self.note("rung %d is tried again", state.rung)
            self.seen["climb"] += 1
            keeper.state = state
            self.planned = True
            engine.die("planned")

    def condemn(self, hang: Hang) -> None:
        assert self.engine is not None
        if self.hang is None:
            self.note("engine %d is ended: %s", self.number, hang.how)
            self.hang = hang
            self.engine.die("killed")

    def terminate(self) -> None:
        if not self.in_front(self.terminate):
            return
        self.note("SIGTERM")
        self.seen["drain"] += 1
        self.draining = True
        self._later(self.clock.now + self.plan.drain_seconds, self.stop)

    def stop(self) -> None:
        if not self.in_front(self.stop):
            return
        self.note("the time for draining is over")
        self.stopped = True
        if self.keeper.lose_all(EngineGone("the server is shutting down", 1)):
            self.seen["drained too late"] += 1
        self.show()

    # ---- faults ------------------------------------------------------------------------------------------------------

    def fault(self, kind: str) -> None:
        engine = self.engine
        if kind == "nap":
            seconds = self.random.choice([1.5, 5.0, 40.0])
            self.note("the front sleeps for %.1f s", seconds)
            self.seen["nap"] += 1
            end = max(self.front_sleeps_until, self.clock.now + seconds)
            self.naps.append((max(self.front_sleeps_until, self.clock.now), end))
            self.front_sleeps_until = end
            self._later(end, self.wake)
            return
        if engine is None or not engine.healthy:
            return
        self.note("fault: %s", kind)
        self.look_soon()
        if kind in ("crash", "memory", "outside", "hang", "hang idle", "stop"):
            self.by_others += 1
            where = engine.record.phase if not (engine.record.phase == "step" and engine.done) else "between steps"
            self.seen[f"{kind} in {where}"] += 1
            self.random_deaths += kind in BLAMABLE
        match kind:
            case "crash" | "memory" | "outside":
                engine.die(kind)
            case "hang":
                engine.hang()
            case "hang idle":
                self._hang_when_idle(engine)
            case "stop":
                engine.stop()
            case "pause":
                self.seen["pause"] += 1
                engine.stop()
                self.clock.after(self.random.uniform(0.1, 1.5), engine.resume)
            case "slow":
                self.seen["slow step"] += 1
                engine.slow = (self.random.choice([20.0, 200.0, 2000.0]), self.random.uniform(1.0, TOLERATED))
            case "drop output":
                self.drop_output = 1
            case "drop last":
                self.drop_last = 1
            case "drop submit":
                self.drop_submit = 1
            case "delay":
                self.seen["delay"] += 1
                self.delay = self.random.choice([0.05, 0.5])
        if kind.startswith("drop"):
            self.by_others += 1
            self.random_deaths += 1

    def _hang_when_idle(self, engine: ModelEngine) -> None:
        if engine.healthy and engine.record.phase == "idle":
            engine.hang()
            self.look_soon()
        elif engine.alive and self.open_clients:
            self.clock.after(0.05, self._hang_when_idle, engine)

    # ---- what must hold ----------------------------------------------------------------------------------------------

    def check_hang(self, engine: ModelEngine, hang: Hang) -> None:
        """A healthy engine is never ended, and a hang is found in time."""
        self.seen["stopped kill" if hang.cause == "outside" else "hang kill"] += 1
        if "message was lost" in hang.how:
            self.seen["unheard kill"] += 1
            assert engine.lost_messages, f"no message was lost: {hang.how}"
            return
        if "not decoded" in hang.how:
            self.seen["decoding kill"] += 1
            assert not engine.healthy or any(
                one.where == "decoding" and one.cause == "hang" for one in self.plan.poisons.values()
            )
            return
        assert not engine.healthy, f"a healthy engine is ended: {hang.how}"
        if engine.hung_since is not None:
            asleep = sum(max(0.0, end - max(start, engine.hung_since)) for start, end in self.naps)
            awake = self.clock.now - engine.hung_since - asleep
            slack = 1.5 * (1 + len(self.naps)) + 2.0  # at each nap's end, and for a stop in between
            assert awake <= hang.deadline + slack, f"a hang was found late: {awake:.1f} s, {hang}"

    def most_starts(self) -> int:
        """An engine for each fault, and those that it takes to find what is sick."""
        clients = max(1, len(self.clients))
        search = 2 + math.ceil(math.log2(clients)) + 4
        poisons = sum(self.content(one.request) in self.plan.poisons for one in self.clients.values())
        sick = (search + 8) * min(self.plan.sick_below, len(self.plan.ladder))
        plan = self.plan
        if plan.sickness != "start" and plan.sick_below >= len(plan.ladder):  # each engine may add only a little
            return 100 + sum(len(answer_to(one.request)[0]) for one in self.clients.values())
        return 12 + self.by_others * 2 + poisons * search * 2 + sick + self.seen["climb"] * 20

    def may_give_up(self) -> bool:
        plan = self.plan
        every_rung_sick = plan.sick_below >= len(plan.ladder)
        starts = self.seen["failed start: outside"] + self.seen["death: outside"] >= policy.OUTSIDE_DEATHS
        failed = sum(n for name, n in self.seen.items() if name.startswith("failed start"))
        first_refused = self.refused and not self.keeper.state.served
        only_poison = all(self.content(one.request) in plan.poisons for one in self.clients.values() if not one.outcome)
        # A culprit and chance: nothing has ever lived here that could tell them from a sick configuration.
        bad_luck = bool(plan.poisons) and self.random_deaths > 0 and not self.keeper.state.known_good
        return bad_luck or every_rung_sick or starts or failed >= policy.LAST_TRIES or first_refused or only_poison

    def may_be_wronged(self) -> bool:
        """Nobody can tell a request that dies of every engine from engines that die of every request."""
        others = [one for one in self.clients.values() if not one.outcome and one.entry and not one.entry.done]
        if self.plan.sick_below >= len(self.plan.ladder) and len(others) <= 1:
            return True
        # Three deaths by chance in a row, with others alive in between, look like guilt: that has to be very rare.
        by_chance = self.random_deaths >= 2 or (bool(self.plan.sick_below) and self.plan.sickness != "start")
        self.seen["wronged by chance"] += by_chance
        return by_chance

    def check(self) -> None:
        """The keeper's books balance."""
        keeper = self.keeper
        state, aboard = keeper.state, keeper.aboard
        inquiry = state.inquiry
        journal = keeper.journal
        open_now = {entry.request.id for entry in journal if not entry.done}
        if not keeper.serving:
            assert not aboard, "aboard of no engine"
        else:
            assert set(aboard) == {name for name in open_now if policy.may_run(state, name)}, "not what may run"
        tried = [name for group in (inquiry.trial, *inquiry.untried) for name in group]
        assert len(tried) == len(set(tried)), "tried twice"
        assert set(tried) <= open_now, "somebody is tried who is not there"
        assert {one.suspect.id for one in inquiry.accused} <= open_now, "somebody is accused who is not there"
        assert inquiry.trial or not inquiry.untried, "a group waits for nothing"
        assert set(inquiry.chains) <= open_now, "a suspect has left"
        assert keeper.awaited <= open_now
        if keeper.serving and inquiry.accused and not inquiry.trial:
            assert aboard, "the accused wait for nobody"

    def check_end(self) -> None:
        for client in self.clients.values():
            assert client.outcome, f"{client.request.id} never ends"
        assert not len(self.keeper.journal), "the journal is not empty"
        plan = self.plan
        if plan.kind == "pure poison":
            culprits = sum(self.content(one.request) in plan.poisons for one in self.clients.values())
            count = len(self.clients) - 24
            halvings = math.ceil(math.log2(count))
            bound = 2 + halvings if culprits == 1 else 2 + culprits * (halvings + 1)
            if all(one.where == "prompt" for one in plan.poisons.values()) and self.seen["turned away"] == 0:
                self.seen["bounded inquiry"] += 1
                assert self.deaths <= max(3, bound), f"{self.deaths} deaths for {culprits} of {count}"
        if plan.kind == "every rung sick" and plan.sickness != "step":
            assert self.failed or not self.clients or self.deaths == 0 or self.seen["lost: EngineGone"] == 0


def told_shortly(outputs: list[SequenceOutput], now: float) -> tuple[list[SequenceOutput], float, PlainTokens | None]:
    """What `Keeper.take` is given: as an engine would send it, bare tokens in the short form."""
    bare = [one for one in outputs if len(one.tokens) == 1 and one.at and one.finish is None]
    if not bare:
        return outputs, now, None
    columns = zip(*((one.id, one.at, one.attempt, one.tokens[0]) for one in bare), strict=True)
    return [one for one in outputs if one not in bare], now, PlainTokens(*map(list, columns))


def run_schedule(seed: int, keep_all: bool = False) -> Outcome:
    """Raises: AssertionError, which names the seed and shows the last events."""
    return Simulation(seed, keep_all).run()
