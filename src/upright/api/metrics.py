"""What Prometheus scrapes: counters and histograms of requests, and the engine's gauges read at scrape time."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from upright.supervise.journal import Entry
from upright.supervise.service import EngineService

FIRST_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)  # seconds
TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
REQUEST_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280)


class Metrics:
    """One registry per server, so that two in one process do not mix."""

    def __init__(self, service: EngineService) -> None:
        self.registry = registry = CollectorRegistry()
        registry.register(EngineCollector(service))
        self.prompt_tokens = Counter("upright:prompt_tokens", "Prompt tokens of ended sequences.", registry=registry)
        self.generation_tokens = Counter(
            "upright:generation_tokens", "Tokens generated for ended sequences.", registry=registry
        )
        self.requests = Counter(
            "upright:requests", "Sequences by the reason of their end.", ["finish_reason"], registry=registry
        )
        self._requests: dict[str, Counter] = {}  # to look a label up takes longer than to count
        self.http_errors = Counter(
            "upright:http_errors", "Requests answered with an error.", ["status"], registry=registry
        )
        self.first_token = Histogram(
            "upright:time_to_first_token_seconds",
            "From a sequence's arrival to its first token.",
            buckets=FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        self.inter_token = Histogram(
            "upright:inter_token_latency_seconds",
            "Mean time between two tokens of a sequence, one observation for each ended sequence.",
            buckets=TOKEN_BUCKETS,
            registry=registry,
        )
        self.end_to_end = Histogram(
            "upright:e2e_request_latency_seconds",
            "From a sequence's arrival to its last token.",
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )

    def sequence_ended(self, entry: Entry, reason: str) -> None:
        """Count one sequence, whatever ended it."""
        if reason not in self._requests:
            self._requests[reason] = self.requests.labels(reason)
        self._requests[reason].inc()
        self.prompt_tokens.inc(len(entry.request.prompt))
        self.generation_tokens.inc(len(entry.output))
        if entry.first_token is None or entry.last_token is None:
            return
        self.first_token.observe(entry.first_token - entry.arrived)
        self.end_to_end.observe(entry.last_token - entry.arrived)
        if len(entry.output) > 1:
            self.inter_token.observe((entry.last_token - entry.first_token) / (len(entry.output) - 1))


class EngineCollector(Collector):
    """The server's state and its deaths, and the newest step's figures once there are any."""

    def __init__(self, service: EngineService) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        status = self._service.status()
        gauges: tuple[tuple[str, str, int], ...] = (
            ("engine_ready", "1 while an engine serves.", int(status.state == "ready")),
            ("rung", "Configuration that runs: 0 is as set, higher is safer and slower.", status.rung),
            ("requests_on_trial", "Suspects of an engine's death that are being tried apart.", status.on_trial),
        )
        for name, text, number in gauges:
            yield GaugeMetricFamily(f"upright:{name}", text, number)
        counters: tuple[tuple[str, str, float], ...] = (
            ("engine_deaths", "Engines that ended unasked.", status.deaths),
            ("recoveries", "Deaths after which another engine has served.", status.recoveries),
            ("recovery_seconds", "From deaths to the next token of everything in flight.", status.recovery_seconds),
            ("replayed_requests", "Sequences that were handed to another engine.", status.replays),
            ("recovered_tokens", "Output tokens that these had and kept.", status.recovered_tokens),
        )
        for name, text, count in counters:
            yield CounterMetricFamily(f"upright:{name}", text, count)
        stats = self._service.stats
        if stats is None:
            return
        used = stats.blocks_used / stats.blocks_total if stats.blocks_total else 0.0
        for name, text, value in (
            ("num_requests_running", "Sequences in the running batch.", stats.running),
            ("num_requests_waiting", "Sequences waiting for a place.", stats.waiting),
            ("kv_cache_usage_ratio", "Share of the KV cache held by sequences, 0 to 1.", used),
            ("kv_cache_blocks", "Blocks of the KV cache.", stats.blocks_total),
            ("kv_cache_blocks_used", "Blocks held by sequences.", stats.blocks_used),
            ("kv_cache_blocks_cached", "Idle blocks that a prefix may use again.", stats.blocks_cached),
        ):
            yield GaugeMetricFamily(f"upright:{name}", text, value)
        for name, text, value in (
            ("preemptions", "Sequences put back to make room.", stats.preemptions),
            (
                "prefix_cache_queried_tokens",
                "Prompt tokens looked up in the prefix cache.",
                stats.prefix_queried_tokens,
            ),
            ("prefix_cache_hit_tokens", "Prompt tokens found in the prefix cache.", stats.prefix_hit_tokens),
            ("engine_steps", "Steps since the engine started.", stats.steps),
            ("engine_prefill_tokens", "Prompt tokens computed since the engine started.", stats.prefill_tokens),
            ("engine_decode_tokens", "Tokens decoded since the engine started.", stats.decode_tokens),
            ("images_encoded", "Images encoded since the engine started.", stats.images_encoded),
        ):
            yield CounterMetricFamily(f"upright:{name}", text, value)
