"""Everything that the judge makes of measurements, as plain JSON: it is kept, made again, and compared. Pure.

Invariants:
- What can be derived from samples is derived from them, also what the measurement holds as a summary.
- Numbers are those that gates compare; nothing is rounded.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from artifacts.canonical import digest_of
from artifacts.store import Measurement
from tasks.judging import (
    IdleCheck,
    Interval,
    JudgingProtocol,
    LoadResult,
    Measured,
    NotMeasured,
    SpeedPoint,
    SpeedResult,
    evidence_of,
)
from tasks.judging.decide import BaselineTerms, Stay, baseline_decision, decide, decide_baseline
from tasks.judging.gates import Evidence, Terms, all_gates
from tasks.judging.judge import disqualified, outcomes_of
from tasks.judging.measure import summarize_again, summarize_open_loop_again
from tasks.judging.results import OpenLoopSide
from tasks.judging.statistics import geometric_mean_interval, point_ratio

Json = dict[str, Any]


def of_baseline(measurement: Measurement, terms: BaselineTerms) -> Json:
    """Return what follows from the baseline: whether compiling is worth trying, and the verdict if not."""
    load = measurement.result_as(LoadResult)
    decision = baseline_decision(load, terms)
    made = {
        "samples": samples_digest(measurement),
        "summaries": {
            str(point.summary.concurrency): _plain(summarize_again(point.rounds, point.summary))
            for point in load.points
        },
        "open_loop": _open_loop_again(load),
        "reason": decision.reason,
        "economics": _plain(decision.economics),
    }
    return made | ({"verdict": _plain(decide_baseline(decision))} if isinstance(decision, Stay) else {})


def of_engine(measurement: Measurement, protocol: JudgingProtocol, terms: Terms) -> Json:
    """Return what follows from a comparison: every interval, outcome and figure, and the verdict.

    Raises:
        tasks.errors.ProtocolsDiffer: it was measured under another protocol.
    """
    measured = measurement.result_as(Measured)
    outcomes = outcomes_of(measured, protocol, terms)
    evidence = evidence_of(measured, protocol, terms)
    return {
        "samples": samples_digest(measurement),
        "protocol": protocol.digest,
        "verdict": _plain(decide(outcomes)),
        "outcomes": _plain(outcomes),
        "disqualified": list(disqualified(measured, protocol)),
        "figures": _figures(outcomes.gates, evidence),
        "idle": {one.side: _plain(_of_pairs(one)) for one in measured.conditions.idle},
    } | ({} if isinstance(measured.speed, NotMeasured) else _of_rounds(measured.speed, protocol))


def samples_digest(measurement: Measurement) -> str:
    """Return the digest of all that was measured."""
    return digest_of(measurement.result)


def _of_rounds(speed: SpeedResult, protocol: JudgingProtocol) -> Json:
    """Return the ratio of each point, and both sides' summaries, from their rounds."""
    points = _named(speed)
    summaries = {
        name: {
            role: _plain(summarize_again([one for one in point.rounds if one.side == kept.side], kept))
            for role, kept in (("engine", point.engine), ("reference", point.reference))
        }
        for name, point in points.items()
    }
    ratios = {name: _plain(point_ratio(one, protocol.speed).interval) for name, one in points.items()}
    return {"ratios": ratios, "summaries": summaries, "open_loop": _open_loop_again(speed)}


def _named(speed: SpeedResult) -> dict[str, SpeedPoint]:
    """Return all comparisons: by requests in flight, then what else they differ in."""
    points = {str(one.concurrency): one for one in speed.points}
    points |= {f"{one.concurrency} against {one.reference.side}": one for one in speed.others}
    return points | {
        f"{one.point.concurrency} of {one.input_tokens} + {one.output_tokens} tokens": one.point
        for one in speed.sweep
    }


def _in_open_loop(found: SpeedResult | LoadResult) -> Iterator[tuple[str, OpenLoopSide]]:
    """Yield the sides that were asked in open loop, by their roles."""
    if isinstance(found, SpeedResult):
        yield from (("engine", found.open_loop.engine), ("reference", found.open_loop.reference))
    elif found.open_loop is not None:
        yield "reference", found.open_loop


def _open_loop_again(found: SpeedResult | LoadResult) -> Json:
    """Return the summary of each side in open loop, from its requests."""
    return {
        role: _plain(summarize_open_loop_again(side.stretches, side.summary))
        for role, side in _in_open_loop(found)
        if side.summary is not None
    }


def _open_loop_held(found: SpeedResult | LoadResult) -> Json:
    """Return the same as the measurement holds it."""
    asked = _in_open_loop(found)
    return {role: _plain(side.summary) for role, side in asked if side.summary is not None}


def _of_pairs(check: IdleCheck) -> Interval:
    """Return the interval of what idle sides cost one side, from its pairs."""
    return geometric_mean_interval(check.log_ratios, check.ratio.confidence)


def _figures(outcomes: Json, evidence: Evidence) -> Json:
    """Return what each gate shows, by its label."""
    shown = [gate.show(outcomes[gate.name], evidence) for gate in all_gates() if gate.name in outcomes]
    figures = [figure for one in shown for figure in one.figures]
    texts = ("unit", "measured", "lower", "upper", "limit", "reference")
    return {figure.label: {name: asdict(figure)[name] for name in texts} for figure in figures}


DERIVED = ("summaries", "open_loop", "idle")
"""Parts of a conclusion that a measurement holds as well, next to the samples that they follow from."""


def held_by(measurement: Measurement) -> Json:
    """Return what a measurement says of itself, in the form in which a conclusion has it."""
    if measurement.kind == "baseline":
        load = measurement.result_as(LoadResult)
        summaries = {str(one.summary.concurrency): _plain(one.summary) for one in load.points}
        return {"summaries": summaries, "open_loop": _open_loop_held(load)}
    measured = measurement.result_as(Measured)
    idle = {one.side: _plain(one.ratio) for one in measured.conditions.idle}
    if isinstance(measured.speed, NotMeasured):
        return {"idle": idle}
    summaries = {
        name: {"engine": _plain(one.engine), "reference": _plain(one.reference)}
        for name, one in _named(measured.speed).items()
    }
    return {"summaries": summaries, "open_loop": _open_loop_held(measured.speed), "idle": idle}


def _plain(record: Any) -> Json:
    plain: Json = record.model_dump(mode="json")
    return plain
