"""What of the check can run on a host, and what keeps the rest from it. Pure."""

from collections.abc import Callable, Iterator

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import Fits, HostFacts, fits, gpus_in_words, suitable_gpus
from engine_specs.spec import resolve_variants
from engine_specs.tables import KindFacts, Target, load_kinds, load_targets
from flows.gpu_check.checkpoint import CheckpointForCheck
from flows.gpu_check.specs import check_spec
from tasks.hosts import host_requirements
from tasks.plan import DryRun, HostView
from tasks.plan.dry_run import dry_run
from tasks.toolchains import NotInstalled

Identity = Callable[[str], str | NotInstalled]


class KindChoice(Frozen):
    """One kind on this host."""

    kind: str = Field(description="Name of the kind.")
    target: str = Field(description="The target that this host is.")
    lacking: tuple[str, ...] = Field(
        description="What keeps it from running, and the remedy; empty: it runs."
    )


class HostChoice(Frozen):
    """The whole check on one host."""

    gpus: str = Field(description="What GPUs it has, or why it has none.")
    nothing: str = Field(default="", description="Why no kind at all can run; empty where one may.")
    kinds: tuple[KindChoice, ...] = Field(default=(), description="The kinds that compute on GPUs.")

    @property
    def runnable(self) -> tuple[KindChoice, ...]:
        """The kinds that run."""
        return tuple(one for one in self.kinds if not one.lacking)


def choose(facts: HostFacts, identity: Identity, checkpoint: CheckpointForCheck) -> HostChoice:
    """Say what runs on a host.

    Args:
        facts: what the host has.
        identity: identity of an installed toolchain, or why it is not there.
        checkpoint: what is compiled.
    """
    gpus = gpus_in_words(facts)
    if not facts.gpus:
        return HostChoice(gpus=gpus, nothing="a GPU engine is built and measured on an NVIDIA GPU")
    target = target_of(facts)
    if target is None:
        nothing = "no target names this GPU: it would be a row in engine_specs/data/targets.yaml"
        return HostChoice(gpus=gpus, nothing=nothing)
    around, kinds = HostView(identity, checkpoint.metadata), []
    for kind in load_kinds().values():
        if "cuda" in kind.accelerators:
            lacking = tuple(_lacking(kind, target, facts, around, checkpoint.commit))
            kinds.append(KindChoice(kind=kind.name, target=target.name, lacking=lacking))
    return HostChoice(gpus=f"{gpus}, driver {facts.driver}", kinds=tuple(kinds))


def target_of(facts: HostFacts) -> Target | None:
    """The first GPU target that this host is; None where there is none."""
    gpu_targets = (one for one in load_targets().values() if one.gpu is not None)
    return next((one for one in gpu_targets if isinstance(fits(host_requirements(one), facts), Fits)), None)


def _lacking(
    kind: KindFacts, target: Target, facts: HostFacts, around: HostView, commit: str
) -> Iterator[str]:
    if target.platform not in kind.platforms:
        yield f"it is not for {target.platform}"
        return
    spec = check_spec(kind, target, commit)
    plan = dry_run(spec, resolve_variants(spec), around)
    yield from (f"pre-flight refuses it: {problem}" for problem in plan.preflight.problems)
    yield from _absent(plan)
    needed = max(stage.gpus for stage in plan.stages)
    present = len(suitable_gpus(host_requirements(target), facts.gpus))
    if needed > present:
        yield f"it takes {needed} GPUs at once (engine and vLLM beside it), this host has {present}"


def _absent(plan: DryRun) -> Iterator[str]:
    """The toolchains that are not there."""
    yield from (f"toolchain {one.name}: {one.absent}" for one in plan.toolchains if one.absent)
