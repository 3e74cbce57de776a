"""What the server did, as Prometheus reads it: names, labels, types and buckets of vLLM 0.32.

Invariants:
- The engine's thread writes, any thread reads; a lock makes one reading consistent.
- Histograms are cumulative, and end with the bucket +Inf, which equals the count.
- Dashboards for vLLM find what exists here too; what has no meaning here (prefix cache, preemption) is not
  exported as zero.
"""

import bisect
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# vllm/v1/metrics/buckets.py of vLLM 0.32.0, in seconds.
FIRST_TOKEN_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
INTER_TOKEN_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BUCKETS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
)  # fmt: skip
REASONS = ("stop", "length", "abort", "error")


@dataclass
class Histogram:
    """Counts of seconds by bucket; the last count is of those above the last limit."""

    limits: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.limits) + 1)

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect.bisect_left(self.limits, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prompt_tokens = self._generated_tokens = 0
        self._ended = dict.fromkeys(REASONS, 0)
        self._first_token = Histogram(FIRST_TOKEN_BUCKETS)
        self._inter_token = Histogram(INTER_TOKEN_BUCKETS)
        self._request = Histogram(REQUEST_BUCKETS)

    def began(self, prompt_tokens: int, waited_s: float) -> None:
        """A sequence has its first token, so many seconds after its request arrived."""
        with self._lock:
            self._prompt_tokens += prompt_tokens
            self._generated_tokens += 1
            self._first_token.observe(waited_s)

    def continued(self, waited_s: float) -> None:
        """A sequence has a further token, so many seconds after the one before."""
        with self._lock:
            self._generated_tokens += 1
            self._inter_token.observe(waited_s)

    def ended(self, reason: str, took_s: float) -> None:
        """A sequence is over: by `stop` or `length`, or the client left, or the engine failed."""
        with self._lock:
            self._ended[reason] += 1
            self._request.observe(took_s)

    def render(self, model: str, *, running: int, waiting: int, rows: int) -> str:
        """Everything in Prometheus' text form.

        Args:
            model: the name that the server answers to.
            running: sequences in rows.
            waiting: sequences without a row.
            rows: of the engine.
        """
        labels = f'model_name="{_escaped(model)}",engine="0"'
        with self._lock:
            return "\n".join([*self._lines(labels, running, waiting, rows), ""])

    def _lines(self, labels: str, running: int, waiting: int, rows: int) -> Iterator[str]:
        yield from _value("num_requests_running", "gauge", "Number of requests in rows.", labels, running)
        yield from _value("num_requests_waiting", "gauge", "Number of requests waiting.", labels, waiting)
        yield from _value("kv_cache_usage_perc", "gauge", "Rows in use; 1 is all.", labels, running / rows)
        prompt, generated = self._prompt_tokens, self._generated_tokens
        yield from _value("prompt_tokens_total", "counter", "Number of tokens read.", labels, prompt)
        yield from _value("generation_tokens_total", "counter", "Number of tokens made.", labels, generated)
        yield from _head("request_success_total", "counter", "Number of requests that ended.")
        for reason, count in self._ended.items():
            yield f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {count}'
        yield from _histogram(
            "time_to_first_token_seconds", "Time to first token.", labels, self._first_token
        )
        yield from _histogram(
            "inter_token_latency_seconds", "Time between tokens.", labels, self._inter_token
        )
        yield from _histogram("e2e_request_latency_seconds", "Time of requests.", labels, self._request)


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP vllm:{name} {text}"
    yield f"# TYPE vllm:{name} {kind}"


def _value(name: str, kind: str, text: str, labels: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, text)
    yield f"vllm:{name}{{{labels}}} {value}"


def _histogram(name: str, text: str, labels: str, counted: Histogram) -> Iterator[str]:
    yield from _head(name, "histogram", text)
    below = 0
    for limit, count in zip([*counted.limits, "+Inf"], counted.counts, strict=True):
        below += count
        yield f'vllm:{name}_bucket{{{labels},le="{limit}"}} {below}'
    yield f"vllm:{name}_count{{{labels}}} {below}"
    yield f"vllm:{name}_sum{{{labels}}} {counted.total}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
