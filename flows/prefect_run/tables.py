"""The content of a run's artifacts: a page with the verdicts, tables of figures and of stages. Pure.

The UI renders cells, descriptions and pages as Markdown, where `name@1.2.3` would become a mail address, so
references are written as code.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from engine_specs.spec import Slo, Spec
from flows.prefect_run.summary import BuildSummary, StepSummary, headline
from tasks.judging import JudgedResult, LoadResult
from tasks.judging.decide import load_figures, verdict_table
from tasks.judging.gates import UNTIMED, Figure
from tasks.stages import Judged

Row = dict[str, str]
REFERENCE = re.compile(r"(?<![`\w])[a-z0-9][\w.-]*@\d[\w.]*\d")
CELL_WIDTH, CELL_LINES = 40, 4
HARD_BREAK = "  \n"


def as_code(text: str) -> str:
    """Return the text with every `name@version` marked as code."""
    return REFERENCE.sub(lambda match: f"`{match[0]}`", text)


def verdict_page(
    spec: Spec, summary: BuildSummary, judged: Iterable[Judged], links: Mapping[str, str]
) -> str:
    """Return a page with the verdicts and their reasons; `links` has the report of each variant."""
    parts = [
        f"# {as_code(headline(summary))}",
        as_code(f"Release: {summary.publication}."),
    ]
    if summary.channels:
        parts.append("Channels: " + ", ".join(f"`{spec.name}:{name}`" for name in summary.channels))
    for variant in judged:
        parts += _verdict(variant, links.get(variant.entry.name))
    return "\n\n".join(parts) + "\n"


def _verdict(judged: Judged, link: str | None) -> list[str]:
    entry, verdict = judged.entry, judged.verdict
    meanings = {row.id: row.meaning for row in verdict_table()}
    lead = f"For target `{entry.target}`: {meanings[verdict.row]}. A release carries {verdict.publishes}."
    parts = [f"## `{entry.name}`: {entry.verdict}", lead]
    if link is not None:
        parts.append(f"[Report with plots]({link}), for a week; `enginery report` fetches it at any time.")
    return [*parts, "\n".join(f"- {as_code(reason)}" for reason in verdict.reasons)]


def engine_figures(result: JudgedResult) -> list[Row]:
    """Return what was measured of an engine, gate by gate, each figure with its limit."""
    outcomes = result.outcomes
    rows = [
        _row(figure, outcomes.gates[gate.name].outcome)
        for gate, shown in result.shown()
        for figure in shown.figures
    ]
    if outcomes.not_timed is None:
        return rows
    return [*rows, _row(Figure(UNTIMED, "", ""), outcomes.not_timed.outcome)]


def baseline_figures(load: LoadResult, slo: Slo) -> list[Row]:
    """Return what was measured of vLLM, if its baseline alone decided the verdict."""
    return [
        _row(figure, "") | {"vLLM": figure.reference or figure.measured, "measured": ""}
        for figure in load_figures(load, slo)
    ]


def _row(figure: Figure, outcome: str) -> Row:
    """Return one row; every row has all columns, and the UI shows them in the order of the first row."""
    return {
        "gate": figure.label,
        "outcome": outcome if figure.decisive else "",
        "measured": figure.measured,
        "lower": figure.lower,
        "upper": figure.upper,
        "limit": figure.limit,
        "vLLM": figure.reference,
        "unit": figure.unit,
    }


def stage_rows(steps: Sequence[StepSummary]) -> list[dict[str, str | float]]:
    """Return what each stage did, how long it took and why, in the order in which they ran.

    The UI shows the columns in this order and cuts them at its right edge, so the longest comes last.
    """
    return [
        {
            "stage": step.stage,
            "of": step.variant,
            "result": "reused" if step.reused else "made",
            "seconds": step.duration_s,
            "made": step.result[:15],
            "why": cell(step.reason),
        }
        for step in steps
    ]


def cell(text: str) -> str:
    """Return the first line of a text as a cell, wrapped, because the UI wraps no long line by itself."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    lines = textwrap.wrap(line, CELL_WIDTH, max_lines=CELL_LINES, placeholder=" …", break_on_hyphens=False)
    return HARD_BREAK.join(as_code(part) for part in lines)
