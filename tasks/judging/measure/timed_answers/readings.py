"""The reference reads what timed rounds were answered with; it has to be up, and no other side."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.accuracy import read_departures
from tasks.judging.measure.completions import CompletionsClient, map_bounded, open_client
from tasks.judging.measure.open_loop import OpenLoopAsked
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.measure.timed_answers.second_answers import SecondAnswer
from tasks.judging.measure.timed_answers.spelling import UNREADABLE, Speller
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import Departure, TimedAnswers, TimedCount, TimedSample


@dataclass(frozen=True, slots=True)
class TimedRounds:
    """What the rounds of a comparison leave for the reference to read.

    Attributes:
        engine: rounds of the engine, at all concurrencies.
        reference: rounds of the side that it is compared with.
        second: timed requests that the engine was asked again.
        open_loop: the engine in open loop, and the reference.
    """

    engine: Sequence[MeasuredRound]
    reference: Sequence[MeasuredRound]
    second: Sequence[SecondAnswer]
    open_loop: tuple[OpenLoopAsked, ...] = ()

    @classmethod
    def of(
        cls,
        made: Sequence[MeasuredRound],
        engine: Side,
        reference: Side,
        second: Sequence[SecondAnswer],
    ) -> "TimedRounds":
        """Return them for all rounds that were made, also those of other sides."""
        own, theirs = ([one for one in made if one.result.side == side.name] for side in (engine, reference))
        return cls(engine=own, reference=theirs, second=second)

    def joined(self, other: "TimedRounds") -> "TimedRounds":
        """Return the rounds of both."""
        return TimedRounds(
            engine=(*self.engine, *other.engine),
            reference=(*self.reference, *other.reference),
            second=(*self.second, *other.second),
            open_loop=(*self.open_loop, *other.open_loop),
        )


def read_timed_answers(
    placement: Placement, rounds: TimedRounds, protocol: JudgingProtocol, *, say: Say
) -> TimedAnswers:
    """Let the protocol's first reference count the tokens of all answers, and score those asked again.

    Raises:
        ServerBroke: the reference failed, or does not score as vLLM does.
    """
    with placement.serving([protocol.references[0]]) as (endpoint,):
        read = asyncio.run(_read(endpoint, rounds, protocol))
    same = sum(sample.same_text for sample in read.samples)
    say(
        f"timed answers: {len(read.engine.claimed)} of {read.engine.side} and "
        f"{len(read.reference.claimed)} of {read.reference.side} were counted; {same} of "
        f"{len(read.samples)} that were asked again had the same text, and all of these were scored"
    )
    return read


async def _read(endpoint: Endpoint, rounds: TimedRounds, protocol: JudgingProtocol) -> TimedAnswers:
    plan = protocol.accuracy
    most = max(plan.in_flight)
    async with open_client(endpoint, connections=most, request_limit_s=plan.request_limit_s) as client:
        reader = _Reader(client, Speller(client, protocol.vocabulary.special_ids), most)
        return TimedAnswers(
            samples=tuple(await map_bounded(reader.sample, rounds.second, parallel=most)),
            engine=await reader.count(rounds.engine, rounds.open_loop),
            reference=await reader.count(rounds.reference, rounds.open_loop),
        )


class _Reader:
    def __init__(self, reference: CompletionsClient, speller: Speller, most: int) -> None:
        self._reference = reference
        self._speller = speller
        self._most = most

    async def count(self, rounds: Sequence[MeasuredRound], open_loop: Sequence[OpenLoopAsked]) -> TimedCount:
        """Count the tokens of all answers of one side, in rounds and in open loop."""
        side = rounds[0].result.side
        arrived = [one for one in open_loop if one.result.side == side]
        texts = [text for one in rounds for text in one.texts]
        texts += [text for one in arrived for text in one.texts]
        records = [record for one in rounds for record in one.result.requests]
        records += [record for one in arrived for record in one.result.requests]
        return TimedCount(
            side=side,
            claimed=tuple(record.output_tokens for record in records),
            read=tuple(await map_bounded(self._speller.count, texts, parallel=self._most)),
        )

    async def sample(self, answer: SecondAnswer) -> TimedSample:
        """Read one timed answer, and score its tokens."""
        prompt, claimed = answer.timed.prompt, answer.timed.claimed_tokens
        same, tokens = await self._speller.tokens(answer)
        # Prompt and answer may be as long as a sequence can be, and vLLM generates a token while it scores.
        scored = tokens[: claimed - 1]
        departures: tuple[Departure, ...] = ()
        if scored:
            said = await self._reference.complete([*prompt, *scored], 1, prompt_logprobs=1)
            where = self._reference.endpoint
            departures = read_departures(said, scored, context_tokens=len(prompt), asked=where)
        return TimedSample(
            concurrency=answer.concurrency,
            claimed_tokens=claimed,
            same_text=same,
            tokens=tokens,
            scored_tokens=len(scored),
            departures=departures,
            read_in_full=same or UNREADABLE not in answer.timed.text,
        )
