"""Which variants of a spec a host can build: an engine is built and measured on the hardware it is for.

Pure: the facts about the host are arguments. Whether the toolchains are available is for them to say.
"""

from collections.abc import Iterable

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import Fits, HostFacts, fits, gpus_in_words
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds
from tasks.hosts import host_requirements
from tasks.kinds import vllm_serve_command


class HostVariants(Frozen):
    """The variants of a spec that a host can build, and those it cannot."""

    here: tuple[ResolvedVariant, ...] = Field(
        description="Variants that the host can build, in the order of the spec."
    )
    elsewhere: dict[str, str] = Field(description="Why it cannot build the others, by name.")
    host: str = Field(description="What the host has, in words.")

    @property
    def left_out(self) -> str:
        """What is left to other hosts: a sentence, then one line per variant; empty if nothing is."""
        if not self.elsewhere:
            return ""
        count = f"{len(self.elsewhere)} of {len(self.elsewhere) + len(self.here)} variants"
        head = f"{count} left to other hosts: this one is {self.host}"
        return "\n".join([head, *(f"  {name}: {why}" for name, why in self.elsewhere.items())])


def divide_by_host(variants: Iterable[ResolvedVariant], facts: HostFacts) -> HostVariants:
    """Divide variants by whether a host matches their target, and has enough devices."""
    here: list[ResolvedVariant] = []
    elsewhere: dict[str, str] = {}
    for variant in variants:
        requires = host_requirements(variant.target, variant.devices, _toolchains(variant))
        answer = fits(requires, facts)
        if isinstance(answer, Fits):
            here.append(variant)
        else:
            elsewhere[variant.name] = answer.reason
    return HostVariants(
        here=tuple(here), elsewhere=elsewhere, host=f"{facts.machine} with {gpus_in_words(facts)}"
    )


def _toolchains(variant: ResolvedVariant) -> tuple[str, ...]:
    """Return the toolchains that build a variant's engine and serve both sides."""
    own, accelerator = load_kinds()[variant.engine.kind].toolchains, variant.target.accelerator
    return own.build[accelerator], own.serve[accelerator], vllm_serve_command({}, variant).toolchain
