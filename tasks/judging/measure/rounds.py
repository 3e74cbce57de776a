"""One round over HTTP: a closed loop of timed requests with new prompts."""

import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from time import perf_counter

from engine_specs.spec import Lengths, Workload
from tasks.errors import ServerBroke
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.completions import (
    CompletionsClient,
    RawStream,
    Trace,
    all_or_first_error,
    open_client,
)
from tasks.judging.measure.prompts import Prompt, PromptText, generator, new_prompts
from tasks.judging.measure.summaries import KeptAnswer, MeasuredRound, record_of
from tasks.judging.placement import Observer
from tasks.judging.protocol import RoundPlan
from tasks.judging.results import RoundResult
from tasks.judging.vocabulary import Vocabulary

NS_PER_S = 1e9

Asked = tuple[Prompt, Trace]
"""A prompt, and the stream that answered it."""


class RoundRunner:
    """Makes the rounds of one measurement; no two of them ask the same prompts.

    Args:
        workload: lengths and objective.
        vocabulary: the ids that prompts may hold.
        text: the text that prompts are windows of; None if the workload asks for random ids.
        plan: requests per round and warm-up.
        seed: seed of all prompts.
        observer: observes the GPUs meanwhile.
        label: distinguishes its prompts from those of other runners.
    """

    def __init__(
        self,
        workload: Workload,
        vocabulary: Vocabulary,
        text: PromptText | None,
        plan: RoundPlan,
        seed: int,
        observer: Observer,
        label: str = "",
    ) -> None:
        if (text is None) != (workload.prompts == "random-ids"):
            raise LookupError(f"prompts are {workload.prompts}, and the text is {text and 'given'}")
        self.workload = workload
        self.plan = plan
        self.seed = seed
        self.observer = observer
        self._vocabulary = vocabulary
        self._text = text
        self._label = label
        self._made: dict[str, int] = {}
        self._warm: set[tuple[str, str, int, int]] = set()
        self._started = perf_counter()

    def of_lengths(self, lengths: Lengths) -> "RoundRunner":
        """Return a runner for requests of other lengths, which has prompts of its own."""
        label = f"{lengths.input_tokens}+{lengths.output_tokens}/"
        load = self.workload.of_lengths(lengths)
        made = RoundRunner(
            load, self._vocabulary, self._text, self.plan, self.seed, self.observer, f"{self._label}{label}"
        )
        made._started = self._started
        return made

    def client(self, endpoint: Endpoint) -> AbstractAsyncContextManager[CompletionsClient]:
        """Return a client with one connection per request in flight."""
        return self._open(endpoint, max(self.workload.concurrency))

    def unlimited_client(self, endpoint: Endpoint) -> AbstractAsyncContextManager[CompletionsClient]:
        """Return a client with as many connections as requests arrive."""
        return self._open(endpoint, None)

    def _open(
        self, endpoint: Endpoint, connections: int | None
    ) -> AbstractAsyncContextManager[CompletionsClient]:
        return open_client(
            endpoint,
            connections=connections,
            request_limit_s=self.plan.request_limit_s,
        )

    async def warm_up(self, client: CompletionsClient, concurrency: int, role: str) -> None:
        """Make uncounted rounds, once per start of a server: they compile kernels and fill caches."""
        server = client.endpoint
        state = (role, server.side.name, server.start, concurrency)
        if state in self._warm:
            return
        self._warm.add(state)
        for _ in range(self.plan.warmup_rounds):
            await self._ask(client, self._prompts(concurrency, f"{role}/warm-up"), concurrency)

    async def run(
        self, client: CompletionsClient, concurrency: int, role: str, index: int, *, block: int | None = None
    ) -> MeasuredRound:
        """Make one counted round, after a few discarded requests that wake up an idle server.

        If the round is not a block of its own, `block` is the place of its block.
        """
        self.observer.begin_round()
        cut = self.plan.warmup_requests
        prompts = self._prompts(concurrency, role, extra=cut)
        if cut:
            await self._ask(client, prompts[:cut], min(cut, concurrency))
        side, begin = client.endpoint.side, perf_counter()
        asked = await self._ask(client, prompts[cut:], concurrency)
        traces = [trace for _, trace in asked]
        result = RoundResult(
            side=side.name,
            concurrency=concurrency,
            index=index,
            block=index if block is None else block,
            started_s=self.seconds_until(begin),
            wall_s=wall_s(traces, client.endpoint.base_url),
            devices=side.devices,
            prompts_sha256=digest_of_all(prompts[cut:]),
            answers_sha256=digest_of_all([(trace.text, trace.output_tokens) for trace in traces]),
            requests=tuple(record_of(trace, self.workload.slo) for trace in traces),
            load=self.observer.end_round(side, begin),
            throttled=self.observer.throttled(side, begin, perf_counter()),
        )
        return MeasuredRound(
            result,
            gaps_ms=tuple(gap for trace in traces for gap in trace.gaps_ms()),
            texts=tuple(trace.text for trace in traces),
            lot=self._lot(asked, f"{result.prompts_sha256}/lot"),
        )

    def _lot(self, asked: Sequence[Asked], purpose: str) -> tuple[KeptAnswer, ...]:
        """Draw the requests that may be asked again; no server can distinguish them from others."""
        count = min(self.plan.kept_requests, len(asked))
        drawn = generator(self.seed, purpose, 0).sample(asked, count)
        return tuple(
            KeptAnswer(prompt=prompt, text=trace.text, claimed_tokens=trace.output_tokens)
            for prompt, trace in drawn
        )

    def seconds_until(self, time_s: float) -> float:
        """Return the seconds from the first round of this measurement until a time of `perf_counter`."""
        return round(time_s - self._started, 3)

    def _prompts(self, concurrency: int, role: str, extra: int = 0) -> list[Prompt]:
        return self.new_prompts(f"{role}/{concurrency}", self.plan.requests(concurrency) + extra)

    def new_prompts(self, purpose: str, count: int) -> list[Prompt]:
        """Return prompts that were not asked before; each call for a purpose returns others."""
        self._made[purpose] = self._made.get(purpose, 0) + 1
        return new_prompts(
            self._vocabulary,
            self._text,
            seed=self.seed,
            purpose=f"{self._label}{purpose}",
            index=self._made[purpose],
            count=count,
            length=self.workload.input_tokens,
        )

    async def _ask(self, client: CompletionsClient, prompts: Sequence[Prompt], slots: int) -> list[Asked]:
        """Ask with as many requests in flight; return the answers in the order in which they ended."""
        waiting = deque(prompts)
        streams: list[tuple[Prompt, RawStream]] = []

        async def slot() -> None:
            while waiting:
                prompt = waiting.popleft()
                streams.append((prompt, await client.stream(prompt, self.workload.output_tokens)))

        await all_or_first_error(slot() for _ in range(slots))
        # JSON is parsed only now: earlier, it would delay the time stamps of requests still in flight.
        return [(prompt, stream.read()) for prompt, stream in streams]


def wall_s(traces: Sequence[Trace], where: str) -> float:
    """Return the seconds from the first request to the last token.

    Raises `ServerBroke` if the clock says that it took no time.
    """
    first_sent = min(trace.sent_ns for trace in traces)
    last_token = max(trace.stamps_ns[-1] for trace in traces)
    wall_s = round((last_token - first_sent) / NS_PER_S, 6)
    if wall_s <= 0:
        raise ServerBroke(
            f"a round of {len(traces)} requests took {wall_s:g} s by this host's clock",
            where=where,
            fix="nothing can be timed with this clock: check how the host keeps time",
        )
    return wall_s


def digest_of_all(asked: Sequence[object]) -> str:
    """Return a digest of prompts or answers, in their order."""
    return hashlib.sha256(repr(asked).encode()).hexdigest()
