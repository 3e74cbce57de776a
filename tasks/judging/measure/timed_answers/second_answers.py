"""Timed requests that the engine is asked again, for the ids of its tokens.

Invariant: the lot was drawn after a round, from requests that were all alike. A server that treats timed
requests in another way cannot know which of them will be asked again.
"""

from collections.abc import Sequence

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.measure.completions import CompletionsClient, map_bounded, streamed_ids
from tasks.judging.measure.prompts import generator
from tasks.judging.measure.summaries import KeptAnswer, MeasuredRound
from tasks.judging.protocol import JudgingProtocol


class SecondAnswer(Frozen):
    """A timed answer, and the tokens of the answer to the same request when nothing is timed."""

    concurrency: int = Field(ge=1, description="Requests in flight, both times.")
    timed: KeptAnswer
    again: tuple[int, ...] = Field(min_length=1, description="Ids of the later answer.")


async def ask_again(
    client: CompletionsClient, rounds: Sequence[MeasuredRound], protocol: JudgingProtocol, count: int
) -> list[SecondAnswer]:
    """Ask `count` of the kept requests of these rounds again, or all if there are fewer.

    Args:
        client: asks the side that made the rounds.
        rounds: rounds of one side at one concurrency.
        protocol: its seed draws the requests.
        count: how many to ask.
    """
    concurrency = rounds[0].result.concurrency
    kept = [answer for one in rounds for answer in one.lot]
    purpose = f"again/{rounds[0].result.prompts_sha256}"
    drawn = generator(protocol.seed, purpose, 0).sample(kept, min(count, len(kept)))

    async def ask(answer: KeptAnswer) -> SecondAnswer:
        stream = await client.stream_ids(answer.prompt, answer.claimed_tokens)
        ids = streamed_ids(stream.read(), client.endpoint)
        return SecondAnswer(concurrency=concurrency, timed=answer, again=ids)

    return await map_bounded(ask, drawn, parallel=concurrency)


def count_to_ask(concurrency: int, protocol: JudgingProtocol) -> int:
    """Return how many requests are asked again at a concurrency."""
    plan = protocol.speed
    decides = concurrency == protocol.workload.operating_point
    return plan.checked_requests if decides else plan.checked_elsewhere
