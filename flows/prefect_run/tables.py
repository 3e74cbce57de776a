"""What the artifacts of a run say: a page with the verdicts, tables of figures and of stages. Pure.

The UI renders cells, descriptions and pages as Markdown, where `name@1.2.3` would become an address for mail:
references are written as code.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from engine_specs.spec import Slo, Spec
from flows.prefect_run.summary import BuildSummary, StepSummary, headline
from tasks.judging.decide.verdict import TABLE, TimedOutcomes
from tasks.judging.judgement import JudgedResult
from tasks.judging.results import Interval, LoadResult, LoadSummary, NotMeasured, SpeedPoint
from tasks.stages import Judged

Row = dict[str, str]
MEANINGS = {row.id: row.meaning for row in TABLE}
REFERENCE = re.compile(r"(?<![`\w])[a-z0-9][\w.-]*@\d[\w.]*\d")
CELL_WIDTH, CELL_LINES = 40, 4
HARD_BREAK = "  \n"


def as_code(text: str) -> str:
    """A text in which every `name@version` is marked as code."""
    return REFERENCE.sub(lambda match: f"`{match[0]}`", text)


def verdict_page(
    spec: Spec, summary: BuildSummary, judged: Iterable[Judged], links: Mapping[str, str]
) -> str:
    """The verdicts in words; `links` leads to the report of each variant."""
    parts = [
        f"# {as_code(headline(summary))}",
        as_code(f"Release: {summary.publication}."),
    ]
    if summary.channels:
        parts.append("Channels: " + ", ".join(f"`{spec.name}:{name}`" for name in summary.channels))
    for one in judged:
        parts += _verdict(one, links.get(one.entry.name))
    return "\n\n".join(parts) + "\n"


def _verdict(judged: Judged, link: str | None) -> list[str]:
    entry, verdict = judged.entry, judged.verdict
    lead = f"For target `{entry.target}`: {MEANINGS[verdict.row]}. A release carries {verdict.publishes}."
    parts = [f"## `{entry.name}`: {entry.verdict}", lead]
    if link is not None:
        parts.append(
            f"[Report with plots]({link}), open for a week; `enginery report` fetches it at any time."
        )
    return [*parts, "\n".join(f"- {as_code(reason)}" for reason in verdict.reasons)]


def engine_figures(result: JudgedResult) -> list[Row]:
    """What was measured of an engine, gate by gate, each with its limit."""
    outcomes, plan = result.outcomes, result.protocol.accuracy.gate
    tokenizer, regret, length = outcomes.tokenizer, outcomes.regret, outcomes.length
    differing = sum(not (one.same_ids and one.same_text) for one in result.measured.accuracy.tokenizer)
    bounds = f"{plan.min_length_ratio:g} to {plan.max_length_ratio:g}"
    rows = [
        _row("tokenizer: texts that differ", tokenizer.outcome, "texts", str(differing), limit="0"),
        _interval(
            "accuracy: regret",
            regret.outcome,
            "nats/token",
            regret.regret_nats,
            "{:.5f}",
            limit=f"upper ≤ {plan.max_regret_nats_per_token:g}",
        ),
        _interval("accuracy: same tokens", "", "share", regret.agreement, "{:.3f}", limit=""),
        _interval("accuracy: length", length.outcome, "x vLLM's", length.ratio, "{:.3f}", limit=bounds),
    ]
    timed, speed = outcomes.timed, result.measured.speed
    if isinstance(timed, NotMeasured) or isinstance(speed, NotMeasured):
        return [*rows, _row("speed", "not-measured", "", "", limit="")]
    return [*rows, *_timed(result, timed, speed.at_operating_point)]


def _timed(result: JudgedResult, timed: TimedOutcomes, point: SpeedPoint) -> list[Row]:
    slo, gate = result.protocol.workload.slo, result.protocol.speed.gate
    money = timed.economics
    net = _row(
        "economics: net",
        money.outcome,
        "USD/month",
        f"{money.net_usd:,.2f}",
        limit="more than 0" if result.outcomes.compile_mode == "when-justified" else "none (compile: always)",
    )
    rate = _interval("speed: goodput", "", "tokens/s", point.engine.goodput_per_device, "{:,.0f}", limit="")
    return [
        *_latencies(point.engine, slo, timed.slo.outcome, point.reference),
        _interval("SLO: requests within it", "", "share", timed.slo.good_share, "{:.3f}", limit=""),
        rate | {"vLLM": f"{point.reference.goodput_per_device.estimate:,.0f}"},
        _interval(
            f"speed: {timed.speed.metric.replace('_', ' ')}",
            timed.speed.outcome,
            "x vLLM's",
            timed.speed.ratio,
            "{:.3f}",
            limit=f"lower ≥ {gate.min_speedup:g}",
        ),
        net,
    ]


def baseline_figures(load: LoadResult, slo: Slo) -> list[Row]:
    """What was measured of vLLM alone, where that settled it."""
    summary = load.at_operating_point.summary
    rate = _interval("speed: throughput", "", "tokens/s", summary.throughput_per_device, "{:,.0f}", limit="")
    rows = [rate | {"vLLM": rate["measured"]}, *_latencies(summary, slo, "", summary)]
    return [row | {"measured": ""} for row in rows]


def _latencies(side: LoadSummary, slo: Slo, outcome: str, reference: LoadSummary) -> Iterable[Row]:
    for name, mine, theirs, limit in (
        ("TTFT p99", side.ttft_ms.p99, reference.ttft_ms.p99, slo.ttft_p99_ms),
        ("ITL p99", side.itl_ms.p99, reference.itl_ms.p99, slo.itl_p99_ms),
    ):
        row = _row(f"SLO: {name}", outcome, "ms", f"{mine:.2f}", limit=f"≤ {limit:g}")
        missed = "" if theirs <= limit else " (missed)"
        yield row | {"vLLM": f"{theirs:.2f}{missed}"}


def _interval(gate: str, outcome: str, unit: str, value: Interval, shape: str, *, limit: str) -> Row:
    row = _row(gate, outcome, unit, shape.format(value.estimate), limit=limit)
    return row | {"lower": shape.format(value.lower), "upper": shape.format(value.upper)}


def _row(gate: str, outcome: str, unit: str, measured: str, *, limit: str) -> Row:
    """One row; every row has all columns, and the UI shows them in the order of the first one."""
    return {
        "gate": gate,
        "outcome": outcome,
        "measured": measured,
        "lower": "",
        "upper": "",
        "limit": limit,
        "vLLM": "",
        "unit": unit,
    }


def stage_rows(steps: Sequence[StepSummary]) -> list[dict[str, str | float]]:
    """What each stage did, why, and how long it took, in the order in which they ran."""
    return [
        {
            "stage": step.stage,
            "of": step.variant,
            "result": "reused" if step.reused else "made",
            "why": cell(step.reason),
            "seconds": step.duration_s,
            "made": step.result[:15],
        }
        for step in steps
    ]


def cell(text: str) -> str:
    """The first line of a text as a cell; the UI breaks no line by itself, and pushes other columns out."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    lines = textwrap.wrap(line, CELL_WIDTH, max_lines=CELL_LINES, placeholder=" …", break_on_hyphens=False)
    return HARD_BREAK.join(as_code(one) for one in lines)
