"""The judging protocol: everything that decides what is asked of all sides, and how answers are read.

Invariants:
- A result is judged only by the protocol that it was measured under; `require_protocol_digest` checks it.
- Nothing here depends on the host, the time or an address.
- Whoever changes the meaning of prompts, timed requests, continuations, tasks, arrivals or statistics changes
  `PROMPTS`, `REQUESTS`, `CONTINUATIONS`, `TASKS`, `ARRIVALS` or `METHOD`, and thereby the digest. `REQUESTS`
  is in the plan that baseline and comparison share.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from engine_specs.spec import AccuracyGate, SpeedGate, Task, Workload
from tasks.errors import ProtocolsDiffer
from tasks.judging.endpoint import Side
from tasks.judging.vocabulary import Vocabulary

PROMPTS = "windows-of-text-behind-unique-heads-or-uniform-token-ids/2"
REQUESTS = "neutral-text-counted-by-usage-and-read-afterwards/4"
CONTINUATIONS = "streamed-and-scored-token-by-token-to-the-end-of-the-shape/5"
TASKS = "forced-option-tokens-or-greedy-text/1"
METHOD = (
    "pseudo-observation-bound-over-texts-groups-parts-and-misses"
    "+widest-student-of-looks-against-each-reference/8"
)
ARRIVALS = "poisson-timed-from-the-intended-arrival/2"
WAY_OF_JUDGING = (PROMPTS, REQUESTS, CONTINUATIONS, TASKS, METHOD, ARRIVALS)
"""How this version of enginery asks and reads; verdicts reached in another way are not reused."""

ROUND_TRIP_ANSWER_TOKENS = 12
"""Tokens by which each side continues a text, to check the tokenizer."""


class RoundPlan(Frozen):
    """How a round is made; the same for all sides and for the baseline."""

    asked: str = Field(
        default=REQUESTS, description="What a timed request asks for, and how its tokens are counted."
    )
    requests_per_slot: int = Field(
        default=3, ge=1, description="Requests of one round, per request in flight."
    )
    min_requests: int = Field(default=8, ge=1, description="Requests of one round, at least.")
    warmup_rounds: int = Field(
        default=1, ge=1, description="Rounds per side that are discarded before the first that counts."
    )
    warmup_requests: int = Field(
        default=1, ge=0, description="Requests that are discarded at the start of every round."
    )
    kept_requests: int = Field(
        default=4, ge=1, description="Requests of a round, drawn by lot, that may be asked again after it."
    )
    request_limit_s: float = Field(default=300.0, gt=0, description="Time limit of one request, in seconds.")

    def requests(self, concurrency: int) -> int:
        """Return the number of requests of one round: whole waves, so that few are in flight only briefly."""
        waves = max(self.requests_per_slot, math.ceil(self.min_requests / concurrency))
        return waves * concurrency


class OpenLoopPlan(Frozen):
    """How sides are asked in open loop, besides what the workload declares."""

    drawn: str = Field(default=ARRIVALS, description="How arrivals are drawn, and from when time counts.")
    stretch_requests: int = Field(
        default=100,
        ge=1,
        description="Requests of one stretch, at most: if others disturb it, it is made again.",
    )
    reference_requests: int = Field(
        default=64, ge=1, description="Requests of the reference; more if it may miss the objective."
    )


class SpeedPlan(Frozen):
    """The declared bar, and how many rounds are made to find out whether the engine clears it.

    A pair is a round, or a block, of the engine and one of a reference.
    """

    gate: SpeedGate
    variants: int = Field(
        default=1, ge=1, description="Variants of the spec that are judged; they share the error equally."
    )
    resolution: float = Field(
        default=0.05, gt=0, description="Least excess over the bar that has to be found, relative to it."
    )
    start_spread: float = Field(
        default=0.04,
        ge=0,
        description="Standard deviation of what the starts of two sides add to the log ratio of their "
        "speeds; it counts if each is started once. On an H200, vLLM against itself gave 1.043 after 256 "
        "pairs; pairs of blocks with starts of their own scattered by 0.04 "
        "(docs/results/2026-11-28-gpu-check-h200-four-cards.md).",
    )
    first_pairs: int = Field(default=8, ge=3, description="Pairs of rounds before the first look.")
    first_block_pairs: int = Field(
        default=4, ge=3, description="The same of blocks, of which each is a start and takes minutes."
    )
    pairs_elsewhere: int = Field(
        default=4, ge=3, description="Pairs at concurrencies other than the operating point."
    )
    checked_requests: int = Field(
        default=32,
        ge=1,
        description="Timed requests at the operating point that the engine is asked again, and whose timed "
        "answers the reference scores.",
    )
    checked_elsewhere: int = Field(default=8, ge=1, description="The same at each other concurrency.")

    @property
    def confidence(self) -> float:
        """The confidence of one variant's bounds that leaves all variants together at the declared one."""
        return 1 - (1 - self.gate.confidence) / self.variants


class LoadPlan(Frozen):
    """What a baseline asks; its digest identifies the result.

    Confidence and budget of open loop decide when to stop asking, so they are not part of it.
    """

    workload: Workload
    vocabulary: Vocabulary
    rounds: RoundPlan = RoundPlan()
    open_loop: OpenLoopPlan = OpenLoopPlan()
    speed: SpeedPlan = Field(description="Confidence and budget of open loop.")
    rounds_per_point: int = Field(default=3, ge=2, description="Counted rounds at each concurrency.")
    seed: int = Field(default=0, ge=0, description="Seed of the prompts.")
    prompts: str = Field(default=PROMPTS, description="How the prompts are drawn.")
    text_sha256: str = Field(default="", description="Digest of the texts that prompts are windows of.")

    def digest(self, side: Side) -> str:
        """Return the digest of everything that decides what is asked of this side."""
        plan = self.model_dump(mode="json", exclude={"speed"})
        return digest_of({"plan": plan, "side": side.model_dump(mode="json")})


class WindowGroup(Frozen):
    """Windows of held-out texts that are alike in the length of their contexts and continuations."""

    name: Literal["answers", "starts", "long", "to-the-end"] = Field(
        description="answers: contexts and answers like the workload's; starts: the same contexts, of whose "
        "answers only the start is made; long: longer contexts; to-the-end: the longest, continued to the "
        "end of what the shape allows."
    )
    texts: int = Field(ge=1, description="Number of windows, each of a text of its own.")
    min_context_tokens: int = Field(
        ge=1, description="Tokens of context before a continuation, at least, special tokens included."
    )
    max_context_tokens: int = Field(ge=1, description="The same, at most.")
    continuation_tokens: int = Field(
        ge=1, description="Tokens by which every text is continued, and that are scored."
    )

    @model_validator(mode="after")
    def _lengths_are_ordered(self) -> Self:
        if self.min_context_tokens > self.max_context_tokens:
            raise ValueError(
                f"min_context_tokens {self.min_context_tokens} must "
                f"not exceed max_context_tokens {self.max_context_tokens}"
            )
        return self

    @property
    def contexts(self) -> str:
        """How long the contexts are, in words: `16 to 96 tokens`, or `192 tokens` if all are alike."""
        least, most = self.min_context_tokens, self.max_context_tokens
        return f"{most:,} tokens" if least == most else f"{least:,} to {most:,} tokens"


class AccuracyPlan(Frozen):
    """The declared margins, and what is asked to find out whether the engine is within them."""

    gate: AccuracyGate
    asked: str = Field(default=CONTINUATIONS, description="How an engine's answers are obtained and scored.")
    text_sha256: str = Field(description="Digest of the held-out texts, in order.")
    windows: tuple[WindowGroup, ...] = Field(min_length=1, description="What is continued and scored.")
    context_limit: int = Field(ge=2, description="Tokens of prompt and answer that the shape allows.")
    answer_tokens: int = Field(ge=1, description="Tokens of the workload's answers.")
    length_texts: int = Field(
        ge=1, description="Texts, the first ones, that both sides continue to their own end."
    )
    length_max_tokens: int = Field(
        ge=2, description="Token limit of continuations that are compared by their length."
    )
    end_tokens: tuple[int, ...] = Field(
        default=(),
        description="Ids that end a continuation on every side, whichever of them a server knows itself.",
    )
    round_trip_texts: int = Field(
        default=16, ge=1, description="Held-out texts that check the tokenizer, besides the fixed ones."
    )
    round_trip_tokens: int = Field(
        ge=1,
        description="Longest of these texts, in tokens: as long as the engine takes, so that a limit left in "
        "tokenizer.json from training is noticed.",
    )
    vocabulary_texts: int = Field(
        default=64,
        ge=1,
        description="Most texts that spell all ordinary ids once, to check the tokenizer; of a vocabulary "
        "that does not fit, the ids are drawn by lot.",
    )
    streamed_texts: int = Field(
        default=8, ge=1, description="Texts that are streamed as in timed rounds, to compare the answers."
    )
    in_flight: tuple[int, ...] = Field(
        min_length=1,
        description="Numbers of requests in flight, each used for an equal part of the texts; the largest is "
        "used for what is not scored, and for continuations to the end of the shape, which take long.",
    )
    request_limit_s: float = Field(default=300.0, gt=0, description="Time limit of one request, in seconds.")

    def in_flight_of(self, group: WindowGroup) -> tuple[int, ...]:
        """Return the numbers of requests in flight with which a group of windows is asked."""
        return (max(self.in_flight),) if group.name == "to-the-end" else self.in_flight

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield numbers of requests in flight, each with how many texts are asked so, in the order of texts.

        Each number is used for an equal part of a group.
        """
        for group in self.windows:
            left, numbers = group.texts, self.in_flight_of(group)
            size = math.ceil(left / len(numbers))
            for in_flight in numbers:
                if texts := min(size, left):
                    yield in_flight, texts
                left -= texts


class TaskPlan(Frozen):
    """One task: its questions by digest, how they are asked, and the loss that is allowed."""

    task: Task
    asked: str = Field(default=TASKS, description="How questions are asked, and answers read.")
    items_sha256: str = Field(description="Digest of its questions, in order.")
    max_prompt_tokens: int = Field(ge=1, description="Longest prompt that the engine takes.")
    max_tokens: int = Field(ge=2, description="Longest prompt and answer together that it takes.")
    end_tokens: tuple[int, ...] = Field(
        default=(), description="Ids that end an answer on every side, whichever of them a server knows."
    )
    in_flight: int = Field(ge=1, description="Questions in flight.")
    request_limit_s: float = Field(default=300.0, gt=0, description="Time limit of one request, in seconds.")


class JudgingProtocol(Frozen):
    """Everything that decides what is asked and how answers are read, in one record."""

    prompts: str = Field(default=PROMPTS, description="How the prompts of timed rounds are drawn.")
    method: str = Field(default=METHOD, description="How intervals are computed.")
    seed: int = Field(ge=0, description="Seed of prompts, windows and resampling.")
    workload: Workload
    vocabulary: Vocabulary
    rounds: RoundPlan
    open_loop: OpenLoopPlan = OpenLoopPlan()
    speed: SpeedPlan
    accuracy: AccuracyPlan
    tasks: tuple[TaskPlan, ...] = Field(
        default=(), exclude_if=lambda tasks: not tasks, description="Tasks that every side answers."
    )
    engine: Side
    references: tuple[Side, ...] = Field(
        min_length=1, description="The first one is unquantized, and scores accuracy."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [self.engine.name, *(side.name for side in self.references)]
        if len(set(names)) != len(names):
            raise ValueError(f"sides must have different names, found {names}")
        return self

    @property
    def digest(self) -> str:
        """The digest of its canonical JSON; with equal digests, the same is asked and read.

        Left out are the time budget, which decides when to stop asking, the number of variants, which
        decides how sure the same rounds have to be, and the time of a second opinion, which decides nothing.
        """
        gate = {"budget_minutes", "second_opinion_minutes"}
        exclude: dict[str, Any] = {"speed": {"gate": gate, "variants": True}}
        return digest_of(self.model_dump(mode="json", exclude=exclude))


def require_protocol_digest(protocol: JudgingProtocol, digest: str) -> None:
    """Raise `ProtocolsDiffer` unless a result's digest is this protocol's."""
    if digest != protocol.digest:
        raise ProtocolsDiffer(
            "a result was measured under another protocol than the one that judges it",
            where=f"measured under {digest[:12]}, judged by {protocol.digest[:12]}",
            fix="measure again under this protocol",
        )
