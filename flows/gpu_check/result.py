"""The page that a check writes: host, versions, command, and the outcome of each kind. Pure."""

import datetime as dt
import re
from collections.abc import Iterator

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import HostFacts
from flows.gpu_check.choice import HostChoice
from flows.prefect_run import BuildSummary, VariantSummary

COMMAND = "python -m flows.gpu_check"


class KindOutcome(Frozen):
    """The outcome of one kind that was run."""

    kind: str = Field(description="Name of the kind.")
    summary: BuildSummary | None = Field(description="The build; null if it failed.")
    failure: str = Field(default="", description="Why it failed; empty if it did not.")


def page_name(facts: HostFacts, day: dt.date) -> str:
    """Return the name of the page, such as 2026-11-23-gpu-check-h100-80gb-hbm3.md."""
    gpu = facts.gpus[0].name.removeprefix("NVIDIA ")
    slug = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    return f"{day:%Y-%m-%d}-gpu-check-{slug}.md"


def page(facts: HostFacts, choice: HostChoice, outcomes: tuple[KindOutcome, ...], day: dt.date) -> str:
    """Return the page as Markdown."""
    return "\n".join([*_head(facts, choice, outcomes, day), *_body(choice, outcomes)]) + "\n"


def _head(
    facts: HostFacts, choice: HostChoice, outcomes: tuple[KindOutcome, ...], day: dt.date
) -> Iterator[str]:
    yield f"# GPU check, {day:%Y-%m-%d}"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    yield f"| hardware | {choice.gpus}; {facts.machine} |"
    yield f"| versions | {_versions(outcomes) or 'no tool has run'} |"
    yield f"| command | `{COMMAND}` |"
    yield ""


def _versions(outcomes: tuple[KindOutcome, ...]) -> str:
    stages = [stage for outcome in outcomes if outcome.summary for stage in outcome.summary.stages]
    found = {f"{name} {version}" for stage in stages for name, version in stage.tools.items()}
    return ", ".join(sorted(found))


def _body(choice: HostChoice, outcomes: tuple[KindOutcome, ...]) -> Iterator[str]:
    yield "| kind | variant | outcome | row of the table of verdicts |"
    yield "| --- | --- | --- | --- |"
    for outcome in outcomes:
        variants = outcome.summary.variants if outcome.summary else ()
        yield from (f"| {outcome.kind} | {v.name} | {v.verdict} | {v.row} |" for v in variants)
        if outcome.failure:
            yield f"| {outcome.kind} | - | failed | - |"
    yield from (f"| {kind.kind} | - | not run | - |" for kind in choice.kinds if kind.obstacles)
    yield ""
    for outcome in outcomes:
        yield from _details(outcome)
    for kind in choice.kinds:
        yield from (f"- {kind.kind} was not run: {obstacle}" for obstacle in kind.obstacles)


def _details(outcome: KindOutcome) -> Iterator[str]:
    if outcome.failure:
        yield from (f"## {outcome.kind}", "", "It failed:", "", "```", outcome.failure, "```", "")
    if outcome.summary:
        yield from (f"## {outcome.kind}, {outcome.summary.duration_s:.0f} s in total", "")
        for stage in outcome.summary.stages:
            made = "reused" if stage.reused else f"made in {stage.made_in_s:.1f} s"
            yield f"- {stage.stage} {stage.variant}: {made}, tree {stage.tree[:12]}"
        for variant in outcome.summary.variants:
            yield from _reasons(variant)
        yield ""


def _reasons(variant: VariantSummary) -> Iterator[str]:
    yield f"- {variant.name}: {variant.verdict}"
    yield from (f"  - {reason}" for reason in variant.reasons)
