"""The variants that the check can run on a host, and what keeps the others from running. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import Fits, HostFacts, fits, gpus_in_words
from artifacts.settings import PlacementName
from engine_specs.reading import SpecInvalid
from engine_specs.spec import ResolvedVariant, Spec, resolve_variants
from engine_specs.tables import Accelerator, Target, load_kinds, load_targets
from flows.gpu_check.checkpoint import TrainedCheckpoint
from flows.gpu_check.specs import CheckTerms, check_spec
from flows.gpu_check.variants import CheckVariant, default_variants
from tasks.comparison import divide_by_host, placement_obstacles, served_memory
from tasks.hosts import host_requirements
from tasks.plan import KnownCheckpoints, examine_variant
from tasks.stages import SpecGraph
from tasks.toolchains import NotInstalled

Identity = Callable[[str], str | NotInstalled]


class Chosen(Frozen):
    """One variant on this host."""

    variant: CheckVariant = Field(description="What is built and judged.")
    toolchains: tuple[str, ...] = Field(default=(), description="The toolchains that take part, by name.")
    obstacles: tuple[str, ...] = Field(
        description="What keeps it from running, and the fix; empty if it can run."
    )


class HostChoice(Frozen):
    """The whole check on one host."""

    gpus: str = Field(description="The GPUs that it has, or why it has none.")
    target: str = Field(default="", description="The target that this host is; empty if it is none.")
    obstacle: str = Field(default="", description="Why nothing at all can run; empty if something may.")
    variants: tuple[Chosen, ...] = Field(default=(), description="What was asked for, or the default.")

    @property
    def runnable(self) -> tuple[Chosen, ...]:
        """The variants that can run."""
        return tuple(one for one in self.variants if not one.obstacles)

    @property
    def toolchains(self) -> tuple[str, ...]:
        """The toolchains of the variants that can run."""
        return tuple(sorted({name for one in self.runnable for name in one.toolchains}))


def host_target(facts: HostFacts, accelerator: Accelerator) -> Target | str:
    """Return the target that a host is: its GPU, or its highest CPU level; otherwise say why it is none."""
    if accelerator == "cuda" and not facts.gpus:
        return "GPU engines are built and measured on an NVIDIA GPU"
    found = [
        target
        for target in load_targets().values()
        if target.accelerator == accelerator and isinstance(fits(host_requirements(target), facts), Fits)
    ]
    if found:
        return found[-1]
    what = "this GPU" if accelerator == "cuda" else "a processor like this one"
    return f"no target names {what}: add a row to engine_specs/data/targets.yaml"


def choose(
    facts: HostFacts,
    target: Target,
    identity: Identity,
    checkpoint: TrainedCheckpoint,
    asked: Sequence[CheckVariant],
    terms: CheckTerms,
) -> HostChoice:
    """Decide what can run on a host.

    Args:
        facts: what the host has.
        target: the target that it is.
        identity: returns the identity of an installed toolchain, or why it is not installed.
        checkpoint: what is compiled.
        asked: variants that the user names; empty for the default.
        terms: what the user decides of every spec.
    """
    host = _Host(facts, target, identity, checkpoint, terms)
    variants = asked or default_variants(target, len(facts.gpus), lambda one: not list(host.preflight(one)))
    driver = f", driver {facts.driver}" if facts.driver else ""
    return HostChoice(
        gpus=f"{gpus_in_words(facts)}{driver}",
        target=target.name,
        variants=tuple(host.chosen(variant) for variant in variants),
    )


class _Host:
    def __init__(
        self,
        facts: HostFacts,
        target: Target,
        identity: Identity,
        checkpoint: TrainedCheckpoint,
        terms: CheckTerms,
    ) -> None:
        self._facts = facts
        self._target = target
        self._identity = identity
        self._checkpoint = checkpoint
        self._terms = terms

    def chosen(self, variant: CheckVariant) -> Chosen:
        """Return a variant with what keeps it from running here."""
        if obstacles := tuple(self.preflight(variant)):
            return Chosen(variant=variant, obstacles=obstacles)
        spec, resolved = self._resolved(variant)
        graph = SpecGraph(spec, (resolved,), self._facts.cpu_features)
        run = [node for node in graph if not node.left_out]
        toolchains = sorted({name for node in run for name in node.toolchains})
        hardware = tuple(self._hardware(resolved)) or self._placement(spec, resolved, variant.placement)
        obstacles = (*self._toolchains(toolchains), *hardware)
        return Chosen(variant=variant, toolchains=tuple(toolchains), obstacles=obstacles)

    def preflight(self, variant: CheckVariant) -> Iterator[str]:
        """Yield why a variant cannot work, as far as spec and checkpoint say."""
        kind = load_kinds()[variant.kind]
        if self._target.platform not in kind.platforms or self._target.accelerator not in kind.accelerators:
            yield f"{variant.kind} does not support {self._target.name}"
            return
        try:
            spec, resolved = self._resolved(variant)
        except SpecInvalid as error:
            yield f"it is refused: {error}"
            return
        known = KnownCheckpoints(base=self._checkpoint.metadata, ready_made=None, draft=None)
        problems = examine_variant(spec, resolved, known).problems
        yield from (f"pre-flight refuses it: {problem}" for problem in problems)

    def _resolved(self, variant: CheckVariant) -> tuple[Spec, ResolvedVariant]:
        spec = check_spec(variant, self._target, self._checkpoint.commit, self._terms)
        (resolved,) = resolve_variants(spec)
        return spec, resolved

    def _toolchains(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            found = self._identity(name)
            if isinstance(found, NotInstalled):
                yield f"toolchain {name}: {found.reason} (fix: {found.fix})"

    def _hardware(self, variant: ResolvedVariant) -> Iterator[str]:
        yield from divide_by_host([variant], self._facts).elsewhere.values()

    def _placement(self, spec: Spec, variant: ResolvedVariant, forced: str) -> Iterator[str]:
        """Yield why the sides cannot be placed as it is forced: otherwise that shows after the baseline."""
        metadata, wanted = self._checkpoint.metadata, cast("PlacementName", forced) if forced else None
        served = served_memory(spec, variant, metadata.config, metadata.file_bytes)
        return placement_obstacles(spec, variant, served, self._facts, wanted)
