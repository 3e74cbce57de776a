"""The kinds that the check can run on a host, and what keeps the others from running. Pure."""

from collections.abc import Callable, Iterator

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import Fits, HostFacts, fits, gpus_in_words, suitable_gpus
from engine_specs.preflight import examine
from engine_specs.spec import resolve_variants
from engine_specs.tables import KindFacts, Target, load_kinds, load_targets
from flows.gpu_check.checkpoint import CheckpointForCheck
from flows.gpu_check.specs import check_spec
from tasks.comparison import devices_at_once
from tasks.hosts import host_requirements
from tasks.stages import SpecGraph
from tasks.toolchains import NotInstalled

Identity = Callable[[str], str | NotInstalled]


class KindChoice(Frozen):
    """One kind on this host."""

    kind: str = Field(description="Name of the kind.")
    target: str = Field(description="The target that this host is.")
    obstacles: tuple[str, ...] = Field(
        description="What keeps it from running, and the fix; empty if it can run."
    )


class HostChoice(Frozen):
    """The whole check on one host."""

    gpus: str = Field(description="The GPUs that it has, or why it has none.")
    obstacle: str = Field(default="", description="Why no kind at all can run; empty if one may.")
    kinds: tuple[KindChoice, ...] = Field(default=(), description="The kinds that compute on GPUs.")

    @property
    def runnable(self) -> tuple[KindChoice, ...]:
        """The kinds that can run."""
        return tuple(kind for kind in self.kinds if not kind.obstacles)


def choose(facts: HostFacts, identity: Identity, checkpoint: CheckpointForCheck) -> HostChoice:
    """Decide what can run on a host.

    Args:
        facts: what the host has.
        identity: returns the identity of an installed toolchain, or why it is not installed.
        checkpoint: what is compiled.
    """
    gpus = gpus_in_words(facts)
    if not facts.gpus:
        return HostChoice(gpus=gpus, obstacle="GPU engines are built and measured on an NVIDIA GPU")
    target = target_of(facts)
    if target is None:
        obstacle = "no target names this GPU: add a row to engine_specs/data/targets.yaml"
        return HostChoice(gpus=gpus, obstacle=obstacle)
    kinds = []
    for kind in load_kinds().values():
        if "cuda" in kind.accelerators:
            obstacles = tuple(_obstacles(kind, target, facts, identity, checkpoint))
            kinds.append(KindChoice(kind=kind.name, target=target.name, obstacles=obstacles))
    return HostChoice(gpus=f"{gpus}, driver {facts.driver}", kinds=tuple(kinds))


def target_of(facts: HostFacts) -> Target | None:
    """Return the first GPU target that this host fits; None if there is none."""
    for target in load_targets().values():
        if target.gpu is not None and isinstance(fits(host_requirements(target), facts), Fits):
            return target
    return None


def _obstacles(
    kind: KindFacts, target: Target, facts: HostFacts, identity: Identity, checkpoint: CheckpointForCheck
) -> Iterator[str]:
    if target.platform not in kind.platforms:
        yield f"it does not support {target.platform}"
        return
    spec, metadata = check_spec(kind, target, checkpoint.commit), checkpoint.metadata
    variants = resolve_variants(spec)
    for variant in variants:
        examined = examine(spec, variant, metadata.config, metadata.file_bytes)
        yield from (f"pre-flight refuses it: {problem}" for problem in examined.problems)
    for name in sorted({name for node in SpecGraph(spec, variants) for name in node.toolchains}):
        found = identity(name)
        if isinstance(found, NotInstalled):
            yield f"toolchain {name}: {found.reason} (fix: {found.fix})"
    needed = max(devices_at_once(spec, variant) for variant in variants)
    present = len(suitable_gpus(host_requirements(target), facts.gpus))
    if needed > present:
        yield f"it needs {needed} GPUs at once (for the engine and vLLM), and this host has {present}"
