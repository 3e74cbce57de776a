"""A dry run: the whole plan of a build with every command, for any host, without network, store or tools.

Pure. `enginery plan` tells what of it the store holds already, and so would not be run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine_specs.preflight import Examination, examine, vendored_checkpoint
from engine_specs.spec import ResolvedVariant, Spec
from tasks.plan.checkpoint import Metadata, NoMetadata
from tasks.plan.dry_stages import DOES, HELDOUT, Known, VariantStages, fetch_checkpoint, fetch_texts
from tasks.plan.records import DryPreflight, DryRun, DryStage
from tasks.plan.symbols import MEANINGS, PASSED_VARIABLES
from tasks.toolchains import NotInstalled


@dataclass(frozen=True, slots=True)
class HostView:
    """What a dry run takes from the host.

    Attributes:
        identity: identity of a toolchain, or why it is not installed.
        metadata: of the checkpoint.
        trees: digest of each tree that the store holds, by the stage and the variant that made it.
        cpu_features: CPU flags of this host; empty: any host of the target is meant.
    """

    identity: Callable[[str], str | NotInstalled]
    metadata: Metadata | NoMetadata
    trees: Mapping[tuple[str, str], str] = field(default_factory=dict)
    cpu_features: frozenset[str] = frozenset()


def dry_run(spec: Spec, variants: tuple[ResolvedVariant, ...], around: HostView) -> DryRun:
    """Resolve every stage of these variants of a spec.

    Raises:
        TaskError: a kind refuses a variant's options, or names a toolchain that nobody declares.
    """
    examined = _examined(spec, variants, around.metadata)
    known = Known(around.identity, around.trees, examined, around.cpu_features)
    stages = [fetch_checkpoint(spec), fetch_texts(HELDOUT, spec.validation.accuracy)]
    for variant in variants:
        stages.extend(VariantStages(spec, variant, known).all())
    names = sorted({name for stage in stages for name in stage.toolchains})
    return DryRun(
        spec=spec.name,
        version=spec.version,
        checkpoint=spec.checkpoint.repo,
        revision=spec.checkpoint.revision,
        preflight=_preflight(examined, around.metadata),
        placeholders=MEANINGS,
        passed_variables=PASSED_VARIABLES,
        toolchains=tuple(known.toolchain(name) for name in names),
        stages=(*stages, _publish(spec)),
    )


def vendored_metadata(spec: Spec) -> Metadata | NoMetadata:
    """The metadata of a spec's checkpoint that comes with this program; the Hub is not asked."""
    repo = spec.checkpoint.repo
    found = vendored_checkpoint(repo)
    if found is None:
        return NoMetadata(
            reason=f"no metadata of {repo} comes with this program (`enginery plan` asks the Hub)"
        )
    at = f"commit {found.revision}" if found.revision else "a commit that is not established"
    reason = f"by the metadata of {repo} at {at} that comes with this program"
    return Metadata(origin="vendored", reason=reason, config=found.config, file_bytes=found.file_bytes)


def _examined(
    spec: Spec, variants: tuple[ResolvedVariant, ...], metadata: Metadata | NoMetadata
) -> dict[str, Examination]:
    if isinstance(metadata, NoMetadata):
        return {}
    return {one.name: examine(spec, one, metadata.config, metadata.file_bytes) for one in variants}


def _preflight(examined: Mapping[str, Examination], metadata: Metadata | NoMetadata) -> DryPreflight:
    found = examined.values()
    problems = (str(problem) for one in found for problem in one.problems)
    warnings = (f"{name}: {warning}" for name, one in examined.items() for warning in one.warnings)
    told = {"problems": tuple(dict.fromkeys(problems)), "warnings": tuple(warnings)}
    if isinstance(metadata, NoMetadata):
        return DryPreflight(outcome="not run", judged=metadata.reason, **told)
    outcome = "refused" if told["problems"] else "passed"
    return DryPreflight(outcome=outcome, judged=metadata.reason, **told)


def _publish(spec: Spec) -> DryStage:
    return DryStage(
        stage="publish",
        variant="",
        does=DOES["publish"],
        params={"name": spec.name, "version": f"{spec.version}.<patch>", "channels": list(spec.channels)},
    )
