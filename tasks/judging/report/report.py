"""The report: one self-contained HTML page without a single outside resource, and a JSON twin with every
number.

Everything that comes from a spec, a server or a model is escaped; only the plots, drawn here, enter as
markup.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.judging.decide.verdict import Verdict
from tasks.judging.gates.economics import Stay
from tasks.judging.judgement import JudgedResult, Subject
from tasks.judging.protocol import SpeedPlan
from tasks.judging.report.plots import (
    latency_plot,
    ratio_plot,
    regret_by_token,
    regret_histogram,
    throughput_plot,
)
from tasks.judging.results import Departure, LoadResult, NotMeasured, RegretSample, SpeedPoint
from tasks.judging.statistics.ratio_bounds import ratio_interval

HTML_FILE = "report.html"
JSON_FILE = "report.json"
WORST_SHOWN = 8
TEMPLATES = Path(__file__).parent / "templates"


def render_report(result: JudgedResult, out_dir: Path) -> Path:
    """Write `report.html` and `report.json` into an existing directory; returns the page's path."""
    speed = result.measured.speed
    points = () if isinstance(speed, NotMeasured) else speed.points
    ratios = [point_ratio(point, result.protocol.speed) for point in points]
    _write_json(out_dir, {"result": result.model_dump(mode="json"), "ratios": ratios})
    view = _report_view(result) | {"ratios": ratios, "timed": _timed_view(result)}
    return _write_page(out_dir, "report.html.j2", view)


def render_baseline(subject: Subject, load: LoadResult, stay: Stay, verdict: Verdict, out_dir: Path) -> Path:
    """The same where the baseline suffices and nothing was compiled."""
    records = {"subject": subject, "load": load, "economics": stay.economics, "verdict": verdict}
    _write_json(out_dir, {name: record.model_dump(mode="json") for name, record in records.items()})
    return _write_page(out_dir, "baseline.html.j2", records)


def point_ratio(point: SpeedPoint, plan: SpeedPlan) -> dict[str, Any]:
    """Ratio of both sides at one concurrency, with its interval, as plain JSON."""
    metric, ratios = point.log_ratios(plan.gate.metric)
    interval = ratio_interval(ratios, first_stage=point.first_stage_pairs, confidence=plan.gate.confidence)
    return {
        "concurrency": point.concurrency,
        "metric": metric,
        "pairs": len(ratios),
        "log_ratios": ratios,
    } | interval.model_dump(mode="json")


def _report_view(result: JudgedResult) -> dict[str, Any]:
    """What the template reads."""
    samples = result.measured.accuracy.samples
    margin = result.protocol.accuracy.gate.max_regret_nats_per_token
    return {
        "result": result,
        "subject": result.subject,
        "verdict": result.verdict,
        "outcomes": result.outcomes,
        "protocol": result.protocol,
        "measured": result.measured,
        "worst": _worst(samples),
        "differing": sum(sample.regret_nats > 0 for sample in samples),
        "gates": _gates(result),
        "regret_plot": regret_histogram(samples, margin=margin, interval=result.outcomes.regret.regret_nats),
        "token_plot": regret_by_token(samples, margin=margin),
    }


def _worst(samples: Sequence[RegretSample]) -> list[tuple[RegretSample, Departure]]:
    """The tokens of largest regret, each with the continuation that it stands in."""
    departures = [(sample, token) for sample in samples for token in sample.departures]
    return sorted(departures, key=lambda one: -one[1].regret_nats)[:WORST_SHOWN]


def _timed_view(result: JudgedResult) -> dict[str, Any]:
    """What the template reads of the rounds; empty where none was timed."""
    speed, timed = result.measured.speed, result.outcomes.timed
    if isinstance(speed, NotMeasured) or isinstance(timed, NotMeasured):
        return {}
    point, gate = speed.at_operating_point, result.protocol.speed.gate
    _, ratios = point.log_ratios(gate.metric)
    return {
        "speed": speed,
        "outcome": timed.speed,
        "economics": timed.economics,
        "point": point,
        "plots": {
            "ratio": ratio_plot(ratios, timed.speed.ratio, bar=gate.min_speedup),
            "throughput": throughput_plot(speed.points),
            "latency": latency_plot(point),
        },
    }


def _gates(result: JudgedResult) -> list[dict[str, str]]:
    """Every gate with its outcome and sentence, in the order in which they decide."""
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
