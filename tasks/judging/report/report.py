"""The report: one self-contained HTML page without external resources, and a JSON file with every number.

Everything that comes from a spec, a server or a model is escaped; only the plots, which are drawn here, are
inserted as markup.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_specs.tables import load_kinds
from tasks.judging.decide import Stay, Verdict
from tasks.judging.gates import Tile
from tasks.judging.judgement import JudgedResult, Subject
from tasks.judging.protocol import SpeedPlan
from tasks.judging.report.advice import advice_on, advice_without_engine
from tasks.judging.report.as_markdown import as_markdown
from tasks.judging.report.host_load import host_rows, host_sentence
from tasks.judging.report.plots import (
    latency_plot,
    limits_plot,
    ratio_plot,
    regret_by_context,
    regret_by_token,
    trade_off_plot,
)
from tasks.judging.results import Departure, LoadResult, NotMeasured, RegretSample, SpeedPoint
from tasks.judging.statistics import point_ratio

HTML_FILE = "report.html"
JSON_FILE = "report.json"
WORST_SHOWN = 8
# Headings of the two measurements, under which plots are shown next to the tiles of gates.
ANSWERS, ROUNDS = "Accuracy", "Speed"
TEMPLATES = Path(__file__).parent / "templates"


def render_report(result: JudgedResult, out_dir: Path) -> Path:
    """Write `report.html` and `report.json` into an existing directory; return the path of the page."""
    speed = result.measured.speed
    points = () if isinstance(speed, NotMeasured) else speed.points
    ratios = [point_view(point, result.protocol.speed) for point in points]
    _write_json(out_dir, {"result": result.model_dump(mode="json"), "ratios": ratios})
    view = _report_view(result) | {"ratios": ratios, "timed": _timed_view(result)}
    return _write_page(out_dir, "report.html.j2", view)


def render_baseline(subject: Subject, load: LoadResult, stay: Stay, verdict: Verdict, out_dir: Path) -> Path:
    """Write the report if the baseline suffices and nothing was compiled; return the path of the page."""
    records = {"subject": subject, "load": load, "economics": stay.economics, "verdict": verdict}
    _write_json(out_dir, {name: record.model_dump(mode="json") for name, record in records.items()})
    hoped = Section("Economics of an engine as fast as can be hoped", stay.tiles, stay.economics.lines)
    return _write_page(
        out_dir,
        "baseline.html.j2",
        records | {"hoped": hoped, "advice": advice_without_engine(subject, verdict)},
    )


def point_view(point: SpeedPoint, plan: SpeedPlan) -> dict[str, Any]:
    """Return the ratio of both sides at one concurrency, with its interval, as plain JSON."""
    ratio = point_ratio(point, plan)
    return {
        "concurrency": point.concurrency,
        "metric": ratio.metric,
        "pairs": len(ratio.log_ratios),
        "log_ratios": ratio.log_ratios,
    } | ratio.interval.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with the tiles of its gates, and their arithmetic."""

    title: str
    tiles: tuple[Tile, ...]
    lines: tuple[str, ...]


def _sections(result: JudgedResult) -> dict[str, Section]:
    """Return the tiles of all judged gates by heading; estimates with bounds come first."""
    shown = result.shown()
    sections: dict[str, Section] = {}
    for title in dict.fromkeys(gate.section for gate, _ in shown):
        own = [one for gate, one in shown if gate.section == title]
        tiles = sorted((tile for one in own for tile in one.tiles), key=lambda tile: not tile.leads)
        sections[title] = Section(title, tuple(tiles), tuple(line for one in own for line in one.lines))
    return sections


def _report_view(result: JudgedResult) -> dict[str, Any]:
    """Return what the template reads."""
    samples, plan = result.measured.accuracy.samples, result.protocol.accuracy
    margin = plan.gate.max_regret_nats_per_token
    sections, advice = _sections(result), advice_on(result)
    return {
        "result": result,
        "subject": result.subject,
        "verdict": result.verdict,
        "protocol": result.protocol,
        "conditions": result.measured.conditions,
        "throttled": _throttled(result),
        "host": host_sentence(result.measured.speed),
        "host_rows": host_rows(result.measured.speed),
        "measured": result.measured,
        "worst": _worst(samples),
        "gates": _gates(result),
        "answers": sections.pop(ANSWERS),
        "rounds": sections.pop(ROUNDS, None),
        "further": list(sections.values()),
        "limits_plot": limits_plot([figure for _, shown in result.shown() for figure in shown.figures]),
        "token_plot": regret_by_token(samples, margin=margin),
        "context_plot": regret_by_context(samples, margin=margin),
        "advice": advice,
        "markdown": as_markdown(result, advice),
        "judged_at": result.created_at,
        "lacks": _lacks(result.subject.kind),
    }


def _lacks(kind: str) -> tuple[str, ...]:
    """Return what users of vLLM's server miss in that of a kind."""
    known = load_kinds().get(kind)
    return tuple(gap.feature for gap in known.server_lacks) if known else ()


def _throttled(result: JudgedResult) -> str:
    """Return how many rounds had lowered clocks, and why; empty if none had."""
    speed = result.measured.speed
    rounds = [] if isinstance(speed, NotMeasured) else [one for point in speed.points for one in point.rounds]
    lowered = [one for one in rounds if one.throttled]
    reasons = sorted({reason for one in lowered for reason in one.throttled})
    return f"in {len(lowered)} of {len(rounds)} rounds: {', '.join(reasons)}" if lowered else ""


def _worst(samples: Sequence[RegretSample]) -> list[tuple[RegretSample, Departure]]:
    """Return the tokens of largest regret, each with its continuation."""
    departures = [(sample, token) for sample in samples for token in sample.departures]
    return sorted(departures, key=lambda one: -one[1].regret_nats)[:WORST_SHOWN]


def _timed_view(result: JudgedResult) -> dict[str, Any]:
    """Return what the template reads of the rounds; empty if none was timed."""
    speed, plan = result.measured.speed, result.protocol.speed
    if isinstance(speed, NotMeasured):
        return {}
    point = speed.at_operating_point
    ratio = point_ratio(point, plan)
    return {
        "speed": speed,
        "point": point,
        "slowest_itl_ms": max(
            side.itl_ms.p99 for one in speed.points for side in (one.engine, one.reference)
        ),
        "plots": {
            "ratio": ratio_plot(ratio.log_ratios, ratio.interval, bar=plan.gate.min_speedup),
            "trade_off": trade_off_plot(
                speed.points,
                operating_point=speed.operating_point,
                limit_ms=result.protocol.workload.slo.itl_p99_ms,
            ),
            "latency": latency_plot(point),
        },
    }


def _gates(result: JudgedResult) -> list[dict[str, str]]:
    """Return every gate with its outcome and reason, in the order in which they decide."""
    conditions, reasons = result.outcomes.conditions(), result.outcomes.reasons()
    return [{"name": name, "outcome": conditions[name], "reason": reason} for name, reason in reasons.items()]


def _write_json(out_dir: Path, document: dict[str, Any]) -> None:
    (out_dir / JSON_FILE).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_page(out_dir: Path, template: str, view: dict[str, Any]) -> Path:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = out_dir / HTML_FILE
    page.write_text(environment.get_template(template).render(view), encoding="utf-8")
    return page
