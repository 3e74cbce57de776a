"""Which variants of a spec a host can build: an engine is built and measured on the hardware it is for.

Pure: what the host has is given. Whether it has the toolchains is another question, and theirs to answer.
"""

from collections.abc import Iterable

from pydantic import Field

from artifacts.compat import Fits, HostFacts, fits, gpus_in_words
from artifacts.frozen import Frozen
from engine_specs.resolve import ResolvedVariant
from tasks.requirements import host_requirements


class HostVariants(Frozen):
    """Variants of a spec, divided by a host."""

    here: tuple[ResolvedVariant, ...] = Field(description="Those that it can build, in the spec's order.")
    elsewhere: dict[str, str] = Field(description="Why it cannot build the others, by their names.")
    host: str = Field(description="What the host has, in words.")

    @property
    def left_out(self) -> str:
        """What is left to other hosts: one sentence, then a line a variant; empty where nothing is."""
        if not self.elsewhere:
            return ""
        count = f"{len(self.elsewhere)} of {len(self.elsewhere) + len(self.here)} variants"
        head = f"{count} left to other hosts: this one is {self.host}"
        return "\n".join([head, *(f"  {name}: {why}" for name, why in self.elsewhere.items())])


def divide_by_host(variants: Iterable[ResolvedVariant], facts: HostFacts) -> HostVariants:
    """Say for each variant whether a host is of its target, and has as many devices as it takes."""
    here: list[ResolvedVariant] = []
    elsewhere: dict[str, str] = {}
    for variant in variants:
        answer = fits(host_requirements(variant.target, variant.devices), facts)
        if isinstance(answer, Fits):
            here.append(variant)
        else:
            elsewhere[variant.name] = answer.reason
    return HostVariants(
        here=tuple(here), elsewhere=elsewhere, host=f"{facts.machine} with {gpus_in_words(facts)}"
    )
