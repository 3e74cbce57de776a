"""Asking one side for its answers and the reference for their likelihood; decides nothing.

The side continues the start of a held-out text greedily, over the same streamed path that timed requests
take, as long as the workload's answers and with as many requests in flight. The reference then reads context
and continuation as one prompt, and vLLM's `prompt_logprobs` extension tells for every token of the
continuation how likely it is after what precedes it, and what the reference's own best token is. The regret
of a token is their difference. What precedes a token is the side's own continuation: a side that once chose
another good word is not blamed for all that follows from it.

What this cannot see: tokens beyond the longest continuation, and contexts longer than the held-out texts.
"""

import math
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.completions.answers import generated_ids, streamed_ids
from tasks.judging.measure.completions.client import CompletionsClient, open_client
from tasks.judging.measure.completions.concurrency import Say, map_bounded
from tasks.judging.measure.prompts import Prompt, Window, sample_windows
from tasks.judging.measure.scores import read_departures
from tasks.judging.measure.tokenizers import check_streams, check_tokenizer
from tasks.judging.protocol import AccuracyPlan, JudgingProtocol
from tasks.judging.results import AccuracyResult, LengthSample, RegretSample


async def measure_accuracy(
    engine: Endpoint, reference: Endpoint, texts: Sequence[str], protocol: JudgingProtocol, *, say: Say
) -> AccuracyResult:
    """Regret, lengths of continuations and tokenizer of `engine` against `reference`, which must be a vLLM
    server.

    Raises `TooLittleText` where the texts do not hold the declared samples.
    """
    plan = protocol.accuracy
    most = max(plan.in_flight)
    limits: dict[str, Any] = {"connections": most, "request_limit_s": plan.request_limit_s}
    async with open_client(engine, **limits) as asked, open_client(reference, **limits) as scorer:
        session = _Scoring(asked, scorer, plan)
        windows = await session.windows(texts, protocol.seed)
        regrets = await session.regrets(windows)
        say(f"{engine.side.name}: {_scored(regrets, plan)}")
        lengths = await map_bounded(session.lengths, windows[: plan.length_windows], parallel=most)
        say(f"{engine.side.name}: {len(lengths)} texts continued by both sides")
        checks = await check_tokenizer(asked, scorer, texts, plan)
        checks += await check_streams(asked, [one.prompt for one in windows[: plan.streamed_texts]], plan)
        failed = sum(not (check.same_ids and check.same_text) for check in checks)
        say(f"{engine.side.name}: {len(checks)} texts read and written by both sides, {failed} differ")
    return AccuracyResult(
        side=engine.side.name,
        reference=reference.side.name,
        protocol_digest=protocol.digest,
        samples=tuple(regrets),
        lengths=tuple(lengths),
        tokenizer=tuple(checks),
    )


class _Scoring:
    """Questions about one window to both sides."""

    def __init__(self, asked: CompletionsClient, scorer: CompletionsClient, plan: AccuracyPlan) -> None:
        self._asked = asked
        self._scorer = scorer
        self._plan = plan

    async def windows(self, texts: Sequence[str], seed: int) -> list[Window]:
        """One of every text; the first ones serve lengths as well as regret."""
        lead = await self._lead(texts[0])
        ids = await map_bounded(self._plain_ids, texts, parallel=max(self._plan.in_flight))
        return sample_windows(ids, lead, self._plan, seed=seed)

    async def _plain_ids(self, text: str) -> list[int]:
        return await self._scorer.tokenize(text, special_tokens=False)

    async def _lead(self, text: str) -> Prompt:
        """What the tokenizer puts in front of a text: its ids with special tokens, less those without."""
        full = await self._scorer.tokenize(text)
        plain = await self._plain_ids(text)
        added = len(full) - len(plain)
        return tuple(full[:added]) if added > 0 and full[added:] == plain else ()

    async def regrets(self, windows: Sequence[Window]) -> list[RegretSample]:
        """Continue and score all windows, an equal part with each number of requests in flight."""
        size = math.ceil(len(windows) / len(self._plan.in_flight))
        samples: list[RegretSample] = []
        for part, in_flight in enumerate(self._plan.in_flight):
            ask = partial(self.regret, in_flight=in_flight)
            samples += await map_bounded(ask, windows[part * size : (part + 1) * size], parallel=in_flight)
        return samples

    async def regret(self, window: Window, *, in_flight: int) -> RegretSample:
        """The side's continuation of a window, and what the reference thinks of each of its tokens."""
        stream = await self._asked.stream_ids(window.prompt, self._plan.continuation_tokens)
        tokens = streamed_ids(stream.read(), self._asked.endpoint)
        scored = await self._scorer.complete([*window.prompt, *tokens], 1, prompt_logprobs=1)
        context = len(window.prompt)
        return RegretSample(
            sample_id=window.sample_id,
            in_flight=in_flight,
            context_tokens=context,
            engine_tokens=tokens,
            departures=read_departures(scored, tokens, context_tokens=context, asked=self._scorer.endpoint),
        )

    async def lengths(self, window: Window) -> LengthSample:
        """Greedy continuations by both sides, each ending where its model ends."""
        engine, reference = [await self._continued(side, window) for side in (self._asked, self._scorer)]
        if not reference:
            raise ServerBroke(
                f"The reference continued text {window.sample_id} by no token at all",
                where=f"{self._scorer.endpoint.base_url} ({self._scorer.endpoint.side.name})",
                fix="The reference must be a vLLM server, which counts the token that ends an answer.",
            )
        return LengthSample(
            sample_id=window.sample_id,
            engine_tokens=len(engine),
            reference_tokens=len(reference),
            common_prefix_tokens=_common_prefix(engine, reference),
        )

    async def _continued(self, side: CompletionsClient, window: Window) -> list[int]:
        ends = list(self._plan.end_tokens)
        answer = await side.complete(window.prompt, self._plan.length_max_tokens, stop_token_ids=ends)
        return generated_ids(answer, side.endpoint)


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _scored(samples: Sequence[RegretSample], plan: AccuracyPlan) -> str:
    agreed = fmean(sample.agreement for sample in samples)
    return (
        f"{len(samples)} texts continued by {plan.continuation_tokens} tokens and scored, "
        f"{agreed:.1%} of them the reference's own choice"
    )
