"""The result of a build, in the form that the command line prints and the flow returns."""

from collections import Counter
from datetime import UTC, datetime

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.releases import DEPLOYABLE
from artifacts.store import Measurement
from tasks.judging import Interval
from tasks.runs import StageResult
from tasks.stages import Judged, Published, Withheld

DONE, NOTHING_TO_DEPLOY = 0, 3
BUSY_ROW = "host-busy"
BUSY_FIX = (
    "fix: run it again while others leave the host alone, what was built is reused; or set "
    "ENGINERY_QUIET_HOST=record, which measures all the same"
)


class VariantSummary(Frozen):
    """One judged variant."""

    name: str = Field(description="Name of the variant.")
    required: bool = Field(description="Whether a release waits for it.")
    verdict: str = Field(description="compile, stay-on-vllm, rejected or inconclusive.")
    row: str = Field(description="Row of the table of verdicts.")
    reasons: tuple[str, ...] = Field(description="Sentences with numbers; the first one was decisive.")
    speedup: Interval | None = Field(
        default=None, description="Its speed relative to vLLM's; null if no round was timed."
    )
    tree: str | None = Field(description="The tree to deploy; null if there is none.")
    report: str | None = Field(description="Tree of the report; null if there is none.")
    verdict_id: str = Field(description="Id under which the verdict is kept, as `enginery history` shows it.")


class StepSummary(Frozen):
    """One stage of a build, as it ran."""

    stage: str = Field(description="Name of the stage.")
    variant: str = Field(description="Name of the variant, or what was fetched.")
    reused: bool = Field(description="Whether an earlier result was reused.")
    reason: str = Field(description="Why it was reused or made.")
    duration_s: float = Field(description="Seconds that this run spent on it.")
    result: str = Field(description="The tree that it made, or the id of its measurement.")


class BuildSummary(Frozen):
    """One build of one spec."""

    spec: str = Field(description="Name of the spec.")
    commit: str = Field(description="Commit of the checkpoint.")
    version: str | None = Field(description="The release's version; null if nothing was published.")
    channels: tuple[str, ...] = Field(default=(), description="Channels that point to the release.")
    publication: str = Field(description="The outcome of publishing, in a sentence.")
    variants: tuple[VariantSummary, ...] = Field(description="The judged variants.")
    stages: tuple[StageResult, ...] = Field(description="What the stages made or reused.")
    steps: tuple[StepSummary, ...] = Field(
        default=(), description="All stages, including those that measure, in the order in which they ran."
    )
    duration_s: float = Field(description="Seconds that the build took.")
    page: str | None = Field(default=None, description="Address of the run in the Prefect UI.")

    @property
    def exit_code(self) -> int:
        """0 if every required variant has something to deploy, otherwise 3."""
        missing = [v for v in self.variants if v.required and v.verdict not in DEPLOYABLE]
        return NOTHING_TO_DEPLOY if missing else DONE


def summarize_variant(judged: Judged) -> VariantSummary:
    """Return the summary of one judged variant."""
    entry = judged.entry
    return VariantSummary(
        name=entry.name,
        required=entry.required,
        verdict=entry.verdict,
        row=judged.verdict.row,
        reasons=judged.verdict.reasons,
        speedup=_speedup(judged),
        tree=entry.tree,
        report=entry.report,
        verdict_id=judged.verdict_id,
    )


def _speedup(judged: Judged) -> Interval | None:
    return judged.result.speedup if judged.result else None


def tree_step(stage: StageResult) -> StepSummary:
    """Return the step of a stage that made or reused a tree."""
    return StepSummary(
        stage=stage.stage,
        variant=stage.variant,
        reused=stage.reused,
        reason=stage.reason,
        duration_s=stage.duration_s,
        result=stage.tree,
    )


def measured_step(
    stage: str, variant: str, measurement: Measurement, reason: str, begin: datetime
) -> StepSummary:
    """Return the step of a stage that measured, or reused a measurement made before it began."""
    return StepSummary(
        stage=stage,
        variant=variant,
        reused=measurement.created_at < begin,
        reason=reason,
        duration_s=round((datetime.now(UTC) - begin).total_seconds(), 3),
        result=measurement.id,
    )


def verdicts(summary: BuildSummary) -> str:
    """Return the verdicts in a few words: `compile`, or `2 compile, 1 rejected`."""
    counts = Counter(variant.verdict for variant in summary.variants)
    if len(summary.variants) == 1:
        return summary.variants[0].verdict
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def reference(summary: BuildSummary) -> str | None:
    """Return the release, such as demo@0.1.0; None if there is none."""
    return f"{summary.spec}@{summary.version}" if summary.version else None


def run_name(summary: BuildSummary, version: str) -> str:
    """Return the run's name: the release, or the spec with its declared version, and the verdicts."""
    return f"{reference(summary) or f'{summary.spec} {version}'} {verdicts(summary)}"


def run_tags(summary: BuildSummary) -> set[str]:
    """Return the tags by which a list of runs can be filtered."""
    tags = {f"verdict:{variant.verdict}" for variant in summary.variants}
    if len(summary.variants) > 1:
        tags |= {f"verdict:{variant.name}:{variant.verdict}" for variant in summary.variants}
    if name := reference(summary):
        tags.add(f"release:{name}")
    return tags


def headline(summary: BuildSummary) -> str:
    """Return the result in one line, such as `compile: demo@0.1.0, 2.43 times vLLM [2.31, 2.55]`."""
    release = reference(summary) or "no release"
    if len(summary.variants) == 1:
        (variant,) = summary.variants
        return ", ".join(filter(None, (f"{variant.verdict}: {release}", _times_vllm(variant))))
    parts = [
        " ".join(filter(None, (f"{variant.name} {variant.verdict}", _times_vllm(variant))))
        for variant in summary.variants
    ]
    return f"{verdicts(summary)}: {release}; {'; '.join(parts)}"


def state_message(summary: BuildSummary) -> str:
    """Return the message of a finished run's state: the headline and, if there is no release, why."""
    line = headline(summary)
    return line if summary.version else f"{line}; {summary.publication}"


def _times_vllm(variant: VariantSummary) -> str:
    ratio = variant.speedup
    return f"{ratio.estimate:.2f} times vLLM [{ratio.lower:.2f}, {ratio.upper:.2f}]" if ratio else ""


def publication_line(outcome: Published | Withheld) -> str:
    """Return the outcome of publishing, in a sentence."""
    if isinstance(outcome, Withheld):
        return f"not published: {outcome.reason}"
    name = f"{outcome.release.name}@{outcome.release.version}"
    line = f"{name} was already published" if outcome.already_there else f"published {name}"
    if outcome.carried:
        line += f"; carried over: {', '.join(outcome.carried)}"
    if outcome.missing:
        line += f"; not judged yet: {', '.join(outcome.missing)}"
    return line


def describe(summary: BuildSummary) -> str:
    """Return a build as text: verdicts with their numbers, then what was published and where to look."""
    lines = []
    for variant in summary.variants:
        lines.append(f"{summary.spec}/{variant.name}: {variant.verdict}")
        lines += [f"  {reason}" for reason in variant.reasons]
        if variant.row == BUSY_ROW:
            lines.append(f"  {BUSY_FIX}")
        if variant.report:
            lines.append(f"  report: enginery report {summary.spec} --verdict {variant.verdict_id}")
    reused = sum(step.reused for step in summary.steps)
    lines.append(f"stages: {reused} of {len(summary.steps)} reused, {summary.duration_s:.0f} s in total")
    lines.append(summary.publication)
    if summary.channels:
        lines.append(f"channels: {', '.join(f'{summary.spec}:{name}' for name in summary.channels)}")
    if summary.page:
        lines.append(f"run: {summary.page}")
    return "\n".join(lines)
