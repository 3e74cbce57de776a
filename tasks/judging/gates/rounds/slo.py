"""The gate `slo`: the service level objective in open loop, by bounds of the share of requests that miss it.

A 99th percentile within its limit means that at most 1 % misses it. The objective is `met` if that is shown
of both limits; `missed` if the opposite is shown of one, in open loop or in the rounds at the operating
point; and otherwise `underpowered` (`tasks.judging.statistics.miss_bounds`). The reference is asked less: it
only matters whether it was shown to miss the objective.

If neither is shown of an engine that is not fast enough, or does not pay, vLLM stays: more requests would not
change that. So the gate leaves `underpowered` to the last one, unless vLLM misses the objective.
"""

import math
from typing import Literal

from pydantic import Field

from engine_specs.spec import Slo
from tasks.judging.gates.figures import Figure, Shown, Tile, Use, interval_figure, use_of_most
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import (
    BoundedQuantiles,
    Interval,
    LoadSummary,
    OpenLoopSide,
    OpenLoopSummary,
    Quantiles,
    RequestRecord,
    SpeedResult,
)
from tasks.judging.statistics import (
    ALLOWED_SHARE,
    Kept,
    Limits,
    attempt_confidence,
    look_confidence,
    open_loop_limits,
    requests_of_look,
    requests_to_settle,
    share_interval,
    shown_by,
    shown_of,
)

REFERENCE_SLO = "reference slo"
NOT_MISSED = "not-missed"
CLIENT_SHARE = 0.05
"""Of the limit of the time to the first token: if the client is late by more, the reason says so."""


class SloOutcome(GateOutcome):
    """What was shown of the objective."""

    outcome: Literal["met", "missed", "underpowered"]
    reference: Literal["met", "missed", "underpowered"] = Field(
        description="The same of vLLM: missed only if every reference was shown to; otherwise what was shown "
        "of the strongest one, which is not asked until that is sure."
    )
    late: Interval | None = Field(
        description="Share of the engine's requests whose first token came too late, in open loop; null if "
        "none was sent."
    )
    slow: Interval | None = Field(description="Share of the gaps between its tokens that were too long.")
    good_share: Interval | None = Field(description="Share of its requests that met the objective.")
    requests: int = Field(ge=0, description="Requests of the engine in open loop.")
    requests_needed: int | None = Field(
        description="Requests that settle it, if as large a share misses it; null if no number does."
    )


class SloGate(Gate[SloOutcome]):
    """The gate; see the module. Whether vLLM meets the objective is a separate condition."""

    name = "slo"
    asks = "rounds"
    section = "Speed"
    conditions = (
        Condition("slo", ("met", "missed", "underpowered")),
        Condition(REFERENCE_SLO, (NOT_MISSED, "missed")),
    )
    outcome_type = SloOutcome
    rules = (
        Rule(
            "slo-missed",
            {"slo": ("missed",), REFERENCE_SLO: (NOT_MISSED,)},
            "stay-on-vllm",
            "the engine was shown to miss the service level objective, and vLLM was not",
        ),
        Rule(
            "slo-missed-by-both",
            {"slo": ("missed",), REFERENCE_SLO: ("missed",)},
            "stay-on-vllm",
            "both miss the service level objective: compiling does not help, other hardware or less load may",
        ),
        Rule(
            "slo-underpowered-next-to-vllm",
            {"slo": ("underpowered",), REFERENCE_SLO: ("missed",)},
            "inconclusive",
            "vLLM misses the service level objective, and it was not shown whether the engine meets it",
        ),
        Rule(
            "slo-met-by-engine-alone",
            {"slo": ("met",), REFERENCE_SLO: ("missed",)},
            "compile",
            "accurate, and meets the service level objective, which vLLM misses, at any ratio and price",
        ),
    )

    def judge(self, evidence: Evidence) -> SloOutcome:
        """Judge whether engine and reference meet the objective."""
        protocol = evidence.protocol
        return judge_slo(evidence.timed, protocol.workload.slo, protocol.speed)

    def values(self, outcome: SloOutcome) -> dict[str, str]:
        """Return what was shown of each side; of the reference, only whether it misses the objective."""
        reference = "missed" if outcome.reference == "missed" else NOT_MISSED
        return {self.name: outcome.outcome, REFERENCE_SLO: reference}

    def show(self, outcome: SloOutcome, evidence: Evidence) -> Shown:
        """Show the shares that decide, and the latencies of both sides in open and in closed loop."""
        open_loop, point, slo = evidence.timed.open_loop, evidence.point, evidence.protocol.workload.slo
        mine, theirs = open_loop.engine.summary, open_loop.reference.summary
        closed = latency_figures(point.engine, point.reference, slo, compared=mine is None)
        if mine is None:
            tiles = _tiles(point.engine, point.reference, slo, "closed loop")
            return Shown(closed, tiles, clause=_clause(outcome))
        return Shown(
            (*_shares(outcome), *_open_figures(mine, theirs, slo), *closed),
            _tiles(mine, theirs, slo, "open loop"),
            clause=_clause(outcome),
        )


def judge_slo(timed: SpeedResult, slo: Slo, plan: SpeedPlan) -> SloOutcome:
    """Judge the requests of both sides against the objective.

    Args:
        timed: both sides, in open loop and in rounds.
        slo: the objective.
        plan: gives the confidence, and who shares the error.
    """
    confidence = attempt_confidence(plan.confidence, timed.attempt)
    engine, reference, rounds = (
        timed.open_loop.engine,
        timed.open_loop.reference,
        timed.at_operating_point.rounds,
    )
    limits = open_loop_limits(engine, slo, confidence)
    outcome = shown_of(engine, rounds, slo, confidence)
    others = open_loop_limits(reference, slo, confidence)
    theirs = shown_of(reference, rounds, slo, confidence)
    unknown = _not_shown_to_miss(timed, slo, confidence)
    needed = _needed(limits, len(engine.requests), confidence)
    said = _reason(engine, limits, slo, outcome, needed)
    return SloOutcome(
        outcome=outcome,
        # That no vLLM meets it is a reason to compile at any ratio, so each of them has to miss it.
        reference="underpowered" if theirs == "missed" and unknown else theirs,
        reason=f"{said} {_reference_reason(reference, others, theirs, unknown)}",
        late=limits and limits.first_tokens,
        slow=limits and limits.gaps,
        good_share=_good_share(engine.requests, confidence),
        requests=len(engine.requests),
        requests_needed=needed,
    )


def _not_shown_to_miss(timed: SpeedResult, slo: Slo, confidence: float) -> list[str]:
    """Return the names of the other references that were timed and do not miss it, or were not timed."""
    others = [(one.reference.side, one.rounds) for one in timed.others]
    within = [side for side, rounds in others if shown_by(rounds, side, slo, confidence) != "missed"]
    return [*within, *(one.reference for one in timed.left_out)]


def _needed(limits: Limits | None, requests: int, confidence: float) -> int | None:
    if limits is None:
        return requests_of_look(confidence, 1)
    first = look_confidence(confidence, 1)
    needed = [requests_to_settle(one, requests, first) for one in limits]
    return None if None in needed else max(one for one in needed if one is not None)


def _good_share(requests: tuple[RequestRecord, ...], confidence: float) -> Interval | None:
    if not requests:
        return None
    return share_interval(sum(record.good for record in requests), len(requests), confidence)


def _reason(side: OpenLoopSide, limits: Limits | None, slo: Slo, outcome: Kept, needed: int | None) -> str:
    asked = f"In open loop, at {side.arrivals_per_s:.3g} requests per second ({side.load}),"
    if limits is None:
        begin = f"{asked} no request was sent: {side.stopped}"
        if outcome == "missed":
            return f"{begin}; but the rounds at the operating point miss the objective."
        return f"{begin}. Without a miss, {needed} requests show that the objective is met."
    late, slow = limits
    found = (
        f"{asked} {late.estimate:.2%} of {len(side.requests)} requests had to wait more than "
        f"{slo.ttft_p99_ms:g} ms for a first token, and {slow.estimate:.2%} of the gaps between tokens were "
        f"longer than {slo.itl_p99_ms:g} ms; at {late.confidence:.2%} confidence, at most {late.upper:.2%} "
        f"and {slow.upper:.2%}"
    )
    end = {
        "met": f"{ALLOWED_SHARE:.0%} may: the objective is met.",
        "missed": f"{ALLOWED_SHARE:.0%} may: the objective is missed"
        f"{'.' if limits.kept == 'missed' else ', by the rounds at the operating point.'}",
        "underpowered": f"{ALLOWED_SHARE:.0%} may: it is shown neither to be met nor to be missed "
        f"({side.stopped}). {_settled_by(needed)}",
    }[outcome]
    return f"{found}{_client_late(side, slo)}, and {end}"


def _client_late(side: OpenLoopSide, slo: Slo) -> str:
    """Return how late the client itself was, if that is a part of the limit that matters."""
    late_ms = max(one.sent_late_ms for one in side.stretches)
    if late_ms < CLIENT_SHARE * slo.ttft_p99_ms:
        return ""
    return f" (the client sent requests up to {late_ms:.0f} ms late, which counts as waiting)"


def _settled_by(needed: int | None) -> str:
    if needed is None:
        return "No affordable number of requests settles it: the share is too near to the allowed one."
    return f"If as large a share misses it, {needed} requests settle it."


def _reference_reason(side: OpenLoopSide, limits: Limits | None, kept: Kept, unknown: list[str]) -> str:
    more = ""
    if kept == "missed" and unknown:
        more = f" {' and '.join(unknown)} {'was' if len(unknown) == 1 else 'were'} not shown to miss it."
    if limits is None or side.summary is None:
        return f"{side.side} was not asked in open loop: {side.stopped}.{more}"
    said = {"met": "meets it", "missed": "misses it", "underpowered": "was not shown to miss it"}[kept]
    late, slow = limits
    return (
        f"{side.side}, at {side.arrivals_per_s:.3g} requests per second, {said}: {late.estimate:.2%} of "
        f"{len(side.requests)} requests and {slow.estimate:.2%} of their gaps.{more}"
    )


def _shares(outcome: SloOutcome) -> tuple[Figure, ...]:
    """Return the shares that decide, each with what is allowed, and the share of good requests."""
    limit = f"upper ≤ {ALLOWED_SHARE:.0%}"
    shares = [
        interval_figure(label, "share", one, "{:.4f}", limit=limit, use=use_of_most(one, ALLOWED_SHARE))
        for label, one in (("SLO: late first tokens", outcome.late), ("SLO: long gaps", outcome.slow))
        if one is not None
    ]
    if outcome.good_share is not None:
        good = outcome.good_share
        shares.append(interval_figure("SLO: requests within it", "share", good, "{:.3f}", decisive=False))
    return tuple(shares)


def _open_figures(mine: OpenLoopSummary, theirs: OpenLoopSummary | None, slo: Slo) -> tuple[Figure, ...]:
    latencies = latency_figures(mine, theirs, slo, where="open loop")
    goodput = Figure(
        "SLO: goodput, open loop",
        "tokens/s",
        f"{mine.goodput_per_device:,.0f}",
        reference="" if theirs is None else f"{theirs.goodput_per_device:,.0f}",
        decisive=False,
    )
    return (*latencies, goodput)


def _tiles(
    mine: OpenLoopSummary | LoadSummary, theirs: OpenLoopSummary | LoadSummary | None, slo: Slo, where: str
) -> tuple[Tile, ...]:
    return tuple(
        Tile(
            f"{name} p99",
            pattern.format(own.p99),
            "ms",
            f"{where}{_at_most(own, pattern)}, limit {limit:g}{_next_to(other, pattern)}",
        )
        for name, pattern, own, other, limit in (
            ("TTFT", "{:.1f}", mine.ttft_ms, theirs.ttft_ms.p99 if theirs else None, slo.ttft_p99_ms),
            ("ITL", "{:.2f}", mine.itl_ms, theirs.itl_ms.p99 if theirs else None, slo.itl_p99_ms),
        )
    )


def _at_most(found: Quantiles, pattern: str) -> str:
    """Return the upper bound of a 99th percentile as part of a sentence; empty if it has none."""
    if not isinstance(found, BoundedQuantiles) or found.p99_bounds.upper is None:
        return ""
    return f", at most {pattern.format(found.p99_bounds.upper)}"


def _clause(outcome: SloOutcome) -> str:
    """Return what was shown of both sides, as a clause about the engine."""
    shown = {
        "met": "it meets the objective",
        "missed": "it misses the objective",
        "underpowered": "it was shown neither to meet the objective nor to miss it",
    }[outcome.outcome]
    if outcome.reference != "missed":
        return shown
    return f"{shown}, as vLLM does" if outcome.outcome == "missed" else f"{shown}, and vLLM misses it"


def _next_to(other: float | None, pattern: str) -> str:
    return "" if other is None else f", reference {pattern.format(other)}"


def latency_figures(
    side: LoadSummary | OpenLoopSummary,
    reference: LoadSummary | OpenLoopSummary | None,
    slo: Slo,
    *,
    where: str = "closed loop",
    compared: bool = True,
) -> tuple[Figure, ...]:
    """Return the pooled 99th percentiles of a side and of the reference, which do not decide by themselves.

    Those of open loop have bounds. If `compared`, they say how much of their limits is used.
    """
    return tuple(
        Figure(
            f"SLO: {name}, {where}",
            "ms",
            f"{mine.p99:.2f}",
            *_bounds_in_words(mine),
            limit=f"≤ {limit:g}",
            use=_use(mine, limit) if compared else None,
            reference="" if theirs is None else f"{theirs:.2f}{'' if theirs <= limit else ' (missed)'}",
            decisive=False,
        )
        for name, mine, theirs, limit in (
            ("TTFT p99", side.ttft_ms, reference.ttft_ms.p99 if reference else None, slo.ttft_p99_ms),
            ("ITL p99", side.itl_ms, reference.itl_ms.p99 if reference else None, slo.itl_p99_ms),
        )
    )


def _bounds_in_words(found: Quantiles) -> tuple[str, str]:
    """Return the bounds of a 99th percentile; empty if it has none."""
    if not isinstance(found, BoundedQuantiles):
        return "", ""
    lower, upper = found.p99_bounds.lower, found.p99_bounds.upper
    return f"{lower:.2f}", "unknown" if upper is None else f"{upper:.2f}"


def _use(found: Quantiles, limit: float) -> Use:
    """Return the use of a limit by a 99th percentile, up to its bounds if it has any."""
    if not isinstance(found, BoundedQuantiles):
        return Use(*[found.p99 / limit] * 3)
    bounds = found.p99_bounds
    upper = math.inf if bounds.upper is None else bounds.upper
    return Use(found.p99 / limit, bounds.lower / limit, upper / limit)
