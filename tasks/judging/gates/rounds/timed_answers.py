"""The gate `timed answers`: whether the answers of timed rounds are what was judged, and as long as claimed.

Only requests are timed that ask for text alone, as users do, so a side could answer them in another way than
those that are judged. Three questions, in this order:

- *counts*: are there as many tokens as the side counts? All answers are compared with the reference's, as
  text of the same kind has the same share of tokens that cannot be read back; those that were asked again
  are compared with what was claimed of them.
- *streams*: do tokens arrive as they are made?
- *words*: does the reference find them as likely as it must find judged answers, and is none of those that
  were asked again garbled (`statistics.garbled_answers`)? Few are, so a fault that comes only under load, in
  one answer of many, hardly shows in their mean.

An engine fails only if it is shown to: each bound excludes what is allowed, and noise garbles no answer.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from pydantic import Field

from tasks.judging.gates.figures import Figure, Shown, Tile, interval_figure
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import (
    Interval,
    RequestRecord,
    SpeedPoint,
    SpeedResult,
    TimedAnswers,
    TimedSample,
)
from tasks.judging.statistics import (
    GARBLED,
    bounded_mean_interval,
    has_gross_stretch,
    is_garbled,
    regret_interval,
)

TIMED_ANSWERS = "timed answers"
# Less than the resolution of the ratio of speeds: a side that counts that much too high gains less.
MISSING_ALLOWED = 0.05
# Tokens that an answer must have before anything is said about how they arrive.
FEWEST_STREAMED = 4


class TimedAnswersOutcome(GateOutcome):
    """What the timed answers are, against what was claimed and judged."""

    outcome: Literal["hold", "miscounted", "not-streamed", "wrong"]
    answers: int = Field(description="Timed answers of the engine whose tokens were counted.")
    samples: int = Field(description="Those of them that were asked again and scored.")
    readable: Interval = Field(description="Share of an answer's claimed tokens that can be read in it.")
    readable_of_reference: Interval = Field(description="The same of the reference's timed answers.")
    missing: Interval = Field(description="Share of the claimed tokens that answers asked again lack.")
    regret_nats: Interval = Field(description="Mean over answers of the mean regret per token.")
    garbled: int = Field(default=0, ge=0, description="Those of the scored answers that are garbled.")
    same_text: float = Field(description="Share of the answers asked again that had the same text.")
    distinct: float = Field(description="Mean share of an answer's tokens that are different ones.")
    bursts: float = Field(description="Share of answers that have most of their tokens in one chunk.")
    tokens_per_arrival: float = Field(description="Mean number of tokens that arrived at a time.")


class TimedAnswersGate(Gate[TimedAnswersOutcome]):
    """The gate; see the module."""

    name = TIMED_ANSWERS
    asks = "rounds"
    section = "Speed"
    conditions = (Condition(TIMED_ANSWERS, ("hold", "miscounted", "not-streamed", "wrong")),)
    outcome_type = TimedAnswersOutcome
    rules = (
        Rule(
            "timed-answers-miscounted",
            {TIMED_ANSWERS: ("miscounted",)},
            "rejected",
            "the engine's timed answers have fewer tokens than it counts, so its speed is not known",
        ),
        Rule(
            "timed-answers-not-streamed",
            {TIMED_ANSWERS: ("not-streamed",)},
            "rejected",
            "the engine holds its tokens back and sends most of an answer at once",
        ),
        Rule(
            "timed-answers-wrong",
            {TIMED_ANSWERS: ("wrong",)},
            "rejected",
            "the engine's answers are not accurate where they are timed",
        ),
    )

    def judge(self, evidence: Evidence) -> TimedAnswersOutcome:
        """Judge counts, streams and words, in this order."""
        return judge_timed_answers(_speed(evidence), evidence.protocol)

    def show(self, outcome: TimedAnswersOutcome, evidence: Evidence) -> Shown:
        """Show what was read in the timed answers, and how their tokens arrived."""
        margin = evidence.protocol.accuracy.gate.max_regret_nats_per_token
        theirs = evidence.point.reference.tokens_per_arrival
        name, least = TIMED_ANSWERS, (1 - MISSING_ALLOWED) * outcome.readable_of_reference.lower
        note = f"{outcome.samples} of {outcome.answers} asked again, {outcome.same_text:.0%} the same text"
        return Shown(
            (
                interval_figure(
                    f"{name}: tokens missing",
                    "share",
                    outcome.missing,
                    "{:.3f}",
                    limit=f"lower ≤ {MISSING_ALLOWED:g}",
                ),
                interval_figure(
                    f"{name}: tokens read in the text",
                    "share",
                    outcome.readable,
                    "{:.3f}",
                    limit=f"upper ≥ {least:.3f}",
                    reference=f"{outcome.readable_of_reference.estimate:.3f}",
                ),
                interval_figure(
                    f"{name}: regret",
                    "nats/token",
                    outcome.regret_nats,
                    "{:.5f}",
                    limit=f"lower ≤ {margin:g}",
                ),
                Figure(f"{name}: same text again", "share", f"{outcome.same_text:.3f}", decisive=False),
                Figure(f"{name}: different tokens", "share", f"{outcome.distinct:.3f}", decisive=False),
                Figure(
                    f"{name}: tokens per arrival",
                    "tokens",
                    f"{outcome.tokens_per_arrival:.2f}",
                    reference=f"{theirs:.2f}",
                    decisive=False,
                ),
                Figure(f"{name}: mostly in one chunk", "share", f"{outcome.bursts:.3f}", limit="≤ 0.5"),
            ),
            (Tile("Timed answers", outcome.outcome, note=note),),
        )


def judge_timed_answers(speed: SpeedResult, protocol: JudgingProtocol) -> TimedAnswersOutcome:
    """Judge what timed rounds were answered with."""
    timed, confidence = speed.timed, protocol.accuracy.gate.confidence
    point = speed.at_operating_point
    measured = {
        "answers": len(timed.engine.claimed),
        "samples": len(timed.samples),
        "readable": _share(timed.engine.shares, confidence),
        "readable_of_reference": _share(timed.reference.shares, confidence),
        "missing": _share([one.missing_share for one in timed.samples], confidence),
        # Each answer by itself: those that were in flight together would often be a single unit, and nothing
        # could be shown by it.
        "regret_nats": regret_interval(
            [one.regret_nats for one in timed.samples], [1] * len(timed.samples), protocol.accuracy.gate
        ),
        "garbled": sum(_is_garbled(one) for one in timed.samples),
        "same_text": fmean(one.same_text for one in timed.samples),
        "distinct": fmean(one.distinct_share for one in timed.samples),
        "bursts": burst_share(point),
        "tokens_per_arrival": point.engine.tokens_per_arrival,
    }
    found = TimedAnswersOutcome.model_validate({"outcome": "hold", "reason": "", **measured})
    for outcome, reason in (
        ("miscounted", _miscounted(found)),
        ("not-streamed", _not_streamed(found)),
        ("wrong", _wrong(found, protocol)),
    ):
        if reason:
            return found.model_copy(update={"outcome": outcome, "reason": reason})
    return found.model_copy(update={"reason": _held(found, timed)})


def _is_garbled(sample: TimedSample) -> bool:
    """Whether an answer is garbled; of one that could not be read in full, nobody knows.

    The ids of a text that differs are the reference's reading: special tokens are missing in it, and others
    may have spelled the same. Next to such a place a token or two seem hopeless, but never half a stretch.
    """
    if not sample.read_in_full:
        return False
    is_so = is_garbled if sample.same_text else has_gross_stretch
    return is_so([(one.index, one.regret_nats) for one in sample.departures])


def burst_share(point: SpeedPoint) -> float:
    """Return the share of the engine's timed answers that have most of their tokens in one chunk."""
    records = [one for made in point.rounds if made.side == point.engine.side for one in made.requests]
    return fmean(_is_burst(record) for record in records)


def _is_burst(record: RequestRecord) -> bool:
    return record.output_tokens >= FEWEST_STREAMED and 2 * record.largest_chunk > record.output_tokens


def _miscounted(found: TimedAnswersOutcome) -> str:
    """Say why the counts do not hold; empty if that is not shown."""
    mine, theirs, missing = found.readable, found.readable_of_reference, found.missing
    if missing.lower > MISSING_ALLOWED:
        return (
            f"{found.samples} timed answers that were asked again lack {missing.estimate:.1%} of the tokens "
            f"that the engine counts, at {missing.confidence:.0%} confidence at least {missing.lower:.1%}; "
            f"{MISSING_ALLOWED:.0%} are allowed: the engine counts tokens that it does not send."
        )
    if mine.upper < (1 - MISSING_ALLOWED) * theirs.lower:
        return (
            f"The reference reads {mine.estimate:.1%} of the tokens that the engine counts in its "
            f"{found.answers} timed answers, at {mine.confidence:.0%} confidence at most {mine.upper:.1%}; "
            f"in its own, at least {theirs.lower:.1%}: the engine counts tokens that it does not send."
        )
    return ""


def _not_streamed(found: TimedAnswersOutcome) -> str:
    if found.bursts <= 0.5:
        return ""
    return (
        f"{found.bursts:.0%} of the engine's timed answers have most of their tokens in one chunk: it does "
        "not stream, as the request asks, so the time between tokens is not known."
    )


def _wrong(found: TimedAnswersOutcome, protocol: JudgingProtocol) -> str:
    margin, regret = protocol.accuracy.gate.max_regret_nats_per_token, found.regret_nats
    if found.garbled:
        are = "is" if found.garbled == 1 else "are"
        return (
            f"{found.garbled} of {found.samples} timed answers {are} garbled: {GARBLED}. If it differs when "
            "it is asked again, the first alone counts. Noise does not make such an answer, so the engine "
            "has a fault where it is timed, however rare."
        )
    if regret.lower <= margin:
        return ""
    return (
        f"Mean regret of {found.samples} timed answers is {regret.estimate:.5f} nats per token, at "
        f"{regret.confidence:.0%} confidence above {regret.lower:.5f}; the margin is {margin:g}. "
        f"{found.same_text:.0%} of them have the text that the engine writes when it is asked again for "
        "token ids: it answers timed requests in another way than judged ones, or in another way than before."
    )


def _held(found: TimedAnswersOutcome, timed: TimedAnswers) -> str:
    again = sum(one.same_text for one in timed.samples)
    return (
        f"Of {found.answers} timed answers, {found.samples} were asked again: {again} have the same text, "
        f"{found.missing.estimate:.1%} of the claimed tokens are missing, and mean regret is "
        f"{found.regret_nats.estimate:.5f} nats per token. {found.tokens_per_arrival:.2f} tokens arrived at "
        "a time."
    )


def _share(values: Sequence[float], confidence: float) -> Interval:
    return bounded_mean_interval(values, cap=1.0, confidence=confidence)


def _speed(evidence: Evidence) -> SpeedResult:
    if evidence.speed is None:
        raise LookupError("a gate that reads rounds must ask for them")
    return evidence.speed
