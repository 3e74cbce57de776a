"""What a build came to, in the form that the command line prints and the flow returns."""

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.releases import DEPLOYABLE
from tasks.stage import StageResult
from tasks.stages.judge import Judged
from tasks.stages.publish import Published, Withheld

DONE, NOT_CONVINCED = 0, 3


class VariantSummary(Frozen):
    """One judged variant."""

    name: str = Field(description="Name of the variant.")
    required: bool = Field(description="Whether a release waits for it.")
    verdict: str = Field(description="compile, stay-on-vllm, rejected or inconclusive.")
    row: str = Field(description="Row of the table of verdicts.")
    reasons: tuple[str, ...] = Field(description="Sentences with numbers; the first one decided.")
    tree: str | None = Field(description="What would be deployed.")
    report: str | None = Field(description="Tree of the report.")


class BuildSummary(Frozen):
    """One build of one spec."""

    spec: str = Field(description="Name of the spec.")
    commit: str = Field(description="Commit of the checkpoint.")
    version: str | None = Field(description="The release; none where nothing was published.")
    channels: tuple[str, ...] = Field(default=(), description="Channels that point to it.")
    publication: str = Field(description="What came of publishing, in a sentence.")
    variants: tuple[VariantSummary, ...] = Field(description="The judged variants.")
    stages: tuple[StageResult, ...] = Field(description="What the stages made or reused.")
    duration_s: float = Field(description="Seconds that the build took.")
    page: str | None = Field(default=None, description="Address of the run in the Prefect UI.")

    @property
    def exit_code(self) -> int:
        """0 where every required variant has something to deploy, else 3."""
        held = [one for one in self.variants if one.required and one.verdict not in DEPLOYABLE]
        return NOT_CONVINCED if held else DONE


def summarize_variant(judged: Judged) -> VariantSummary:
    """The summary of one judged variant."""
    entry = judged.entry
    return VariantSummary(
        name=entry.name,
        required=entry.required,
        verdict=entry.verdict,
        row=judged.verdict.row,
        reasons=judged.verdict.reasons,
        tree=entry.tree,
        report=entry.report,
    )


def publication_line(outcome: Published | Withheld) -> str:
    """What came of publishing, in a sentence."""
    if isinstance(outcome, Withheld):
        return f"not published: {outcome.reason}"
    name = f"{outcome.release.name}@{outcome.release.version}"
    return f"{name} was there already" if outcome.already_there else f"published {name}"


def describe(summary: BuildSummary) -> str:
    """A build for people: verdicts with their numbers, then where to look."""
    lines = []
    for variant in summary.variants:
        lines.append(f"{summary.spec}/{variant.name}: {variant.verdict}")
        lines += [f"  {reason}" for reason in variant.reasons]
        if variant.report:
            lines.append(f"  report: tree {variant.report}")
    reused = sum(stage.reused for stage in summary.stages)
    lines.append(f"stages: {reused} of {len(summary.stages)} reused, {summary.duration_s:.0f} s in all")
    lines.append(summary.publication)
    if summary.channels:
        lines.append(f"channels: {', '.join(f'{summary.spec}:{name}' for name in summary.channels)}")
    if summary.page:
        lines.append(f"run: {summary.page}")
    return "\n".join(lines)
