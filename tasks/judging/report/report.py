"""The report: one self-contained HTML page without external resources, and a JSON file with every number.

Everything that comes from a spec, a server or a model is escaped; only the plots, which are drawn here, are
inserted as markup.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine_specs.spec import Workload
from engine_specs.tables import load_kinds
from tasks.judging.decide import Stay, Verdict
from tasks.judging.gates import Tile
from tasks.judging.judgement import JudgedResult, Subject
from tasks.judging.report.advice import advice_on, advice_without_engine
from tasks.judging.report.as_markdown import as_markdown
from tasks.judging.report.host_load import host_rows, host_sentence
from tasks.judging.report.last_release import (
    FIGURES_FILE,
    Comparison,
    KeptFigures,
    LastRelease,
    compare,
    figures_of,
    figures_without_engine,
)
from tasks.judging.report.loads import load_views, wait_rows
from tasks.judging.report.plots import (
    latency_plot,
    limits_plot,
    load_curve,
    map_plot,
    open_loop_plot,
    ratio_plot,
    region_maps,
    regret_by_context,
    regret_by_token,
)
from tasks.judging.report.references import reference_view
from tasks.judging.report.speed_opinion import speed_opinion_view
from tasks.judging.report.visible import excerpt_row
from tasks.judging.results import Bounds, LoadResult, NotMeasured, OpenLoopResult
from tasks.judging.statistics import point_ratio, region

if TYPE_CHECKING:
    from jinja2 import Environment

HTML_FILE = "report.html"
JSON_FILE = "report.json"
# Headings of the two measurements, under which plots are shown next to the tiles of gates.
ANSWERS, ROUNDS = "Accuracy", "Speed"
TEMPLATES = Path(__file__).parent / "templates"


def render_report(
    result: JudgedResult, out_dir: Path, *, size_bytes: int | None = None, last: LastRelease | None = None
) -> Path:
    """Write `report.html`, `report.json` and `figures.json`; return the path of the page.

    Args:
        result: what was judged.
        out_dir: an existing directory.
        size_bytes: size of the engine's tree.
        last: the release to compare with; None if there is none.
    """
    ratios = load_views(result)
    kept = figures_of(result, size_bytes)
    records = {"result": result, "last_release": last}
    twin = _write_twin(out_dir, _plain(records) | {"ratios": ratios}, kept)
    since = compare(last, kept) if last else None
    view = _report_view(result, since) | {"ratios": ratios, "timed": _timed_view(result), "twin": twin}
    return _write_page(out_dir, "report.html.j2", view)


def render_baseline(
    subject: Subject,
    load: LoadResult,
    stay: Stay,
    verdict: Verdict,
    out_dir: Path,
    *,
    workload: Workload,
    last: LastRelease | None = None,
) -> Path:
    """Write the report if the baseline suffices and nothing was compiled; return the path of the page."""
    records = {"subject": subject, "load": load, "economics": stay.economics, "verdict": verdict}
    kept = figures_without_engine(subject, verdict.verdict, workload)
    twin = _write_twin(out_dir, _plain(records | {"last_release": last}), kept)
    title = "Economics of an engine as fast as can be hoped"
    hoped = Section(title, stay.tiles, stay.economics.lines, (map_plot(stay.map),))
    advice = advice_without_engine(subject, verdict, stay)
    since = compare(last, kept) if last else None
    view = records | {"hoped": hoped, "reason": stay.reason, "advice": advice, "twin": twin, "since": since}
    return _write_page(out_dir, "baseline.html.j2", view)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with the tiles of its gates, their arithmetic, and their maps as drawings."""

    title: str
    tiles: tuple[Tile, ...]
    lines: tuple[str, ...]
    maps: tuple[str, ...]


def _sections(result: JudgedResult) -> dict[str, Section]:
    """Return the tiles of all judged gates by heading; estimates with bounds come first."""
    shown = result.shown()
    sections: dict[str, Section] = {}
    for title in dict.fromkeys(gate.section for gate, _ in shown):
        own = [one for gate, one in shown if gate.section == title]
        tiles = sorted((tile for one in own for tile in one.tiles), key=lambda tile: not tile.leads)
        lines = tuple(line for one in own for line in one.lines)
        maps = tuple(map_plot(one.map) for one in own if one.map is not None)
        sections[title] = Section(title, tuple(tiles), lines, maps)
    return sections


def _report_view(result: JudgedResult, since: Comparison | None) -> dict[str, Any]:
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
        "references": reference_view(result),
        "speed_opinion": speed_opinion_view(result.measured, result.protocol.engine.devices),
        "excerpts": [
            excerpt_row(one, cap_nats=plan.gate.gross_error_nats) for one in result.measured.accuracy.excerpts
        ],
        "departures": sum(len(sample.departures) for sample in samples),
        "gates": _gates(result),
        "answers": sections.pop(ANSWERS),
        "rounds": sections.pop(ROUNDS, None),
        "further": list(sections.values()),
        "limits_plot": limits_plot([figure for _, shown in result.shown() for figure in shown.figures]),
        "token_plot": regret_by_token(samples, margin=margin),
        "context_plot": regret_by_context(samples, margin=margin),
        "advice": advice,
        "since": since,
        "markdown": as_markdown(result, advice, since.sentence if since else ""),
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


def _timed_view(result: JudgedResult) -> dict[str, Any]:
    """Return what the template reads of the rounds; empty if none was timed."""
    speed, plan, point = result.measured.speed, result.protocol.speed, result.decisive
    if isinstance(speed, NotMeasured) or point is None:
        return {}
    load = result.protocol.workload
    ratio = point_ratio(point, plan)
    decisive = (load.input_tokens, load.output_tokens, load.operating_point)
    open_loop, loads = speed.open_loop, region(speed, result.protocol)
    return {
        "speed": speed,
        "point": point,
        "decisive": decisive,
        "beyond": any(one.missed for one in loads),
        "unbounded": any(bounds.upper is None for bounds in _bounds(open_loop)),
        "waits": wait_rows(open_loop, load.slo),
        "plots": {
            "ratio": ratio_plot(ratio.log_ratios, ratio.interval, bar=plan.gate.min_speedup),
            "curve": load_curve(speed.points, open_loop, operating_point=speed.operating_point, slo=load.slo),
            "open_loop": open_loop_plot(open_loop, slo=load.slo) if open_loop.engine.summary else "",
            "latency": latency_plot(point),
            "region": region_maps(loads, decisive),
        },
    }


def _bounds(open_loop: OpenLoopResult) -> Iterator[Bounds]:
    for side in (open_loop.engine, open_loop.reference):
        if side.summary is not None:
            yield from (*side.summary.ttft_ms.bounds, *side.summary.itl_ms.bounds)


def _gates(result: JudgedResult) -> list[dict[str, str]]:
    """Return every gate with its outcome and reason, in the order in which they decide."""
    conditions, reasons = result.outcomes.conditions(), result.outcomes.reasons()
    return [{"name": name, "outcome": conditions[name], "reason": reason} for name, reason in reasons.items()]


def _plain(records: dict[str, Any]) -> dict[str, Any]:
    return {name: record and record.model_dump(mode="json") for name, record in records.items()}


def _write_twin(out_dir: Path, document: dict[str, Any], kept: KeptFigures) -> str:
    """Write the JSON files; return `report.json` as an address that holds all of it.

    A link to the page is signed for the page alone, so a link to the file next to it would not open.
    """
    body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    (out_dir / JSON_FILE).write_bytes(body)
    (out_dir / FIGURES_FILE).write_text(kept.model_dump_json(), encoding="utf-8")
    return f"data:application/json;base64,{base64.b64encode(body).decode()}"


def _write_page(out_dir: Path, template: str, view: dict[str, Any]) -> Path:
    page = out_dir / HTML_FILE
    page.write_text(_templates().get_template(template).render(view), encoding="utf-8")
    return page


@cache
def _templates() -> "Environment":
    """Return what compiles each template once per process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
