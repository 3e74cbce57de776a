"""Which processor and GPUs a variant was judged on, and whether another host has the same. Pure.

The same engine was 2.4 times as fast as vLLM on one processor and 3.7 times on another of the same
instruction set: where an engine runs is a matter of requirements, how fast it runs there is not.
"""

from collections.abc import Iterator

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import HostFacts, HostRequirements, suitable_gpus


class JudgedOn(Frozen):
    """The hardware that a variant's speed was measured on."""

    cpu_model: str = Field(description="Model name of the processor; empty if the kernel did not say.")
    gpus: tuple[str, ...] = Field(
        default=(), description="Product names of the GPUs that fit the variant, each once; empty on a CPU."
    )

    def text(self) -> str:
        """Write it as part of a sentence."""
        return ", ".join(filter(None, (self.cpu_model or "an unknown processor", *self.gpus)))


def judged_here(requires: HostRequirements, facts: HostFacts) -> JudgedOn:
    """Return what a host has of the hardware that decides how fast a variant is."""
    gpus = suitable_gpus(requires, facts.gpus) if requires.gpu_count else ()
    return JudgedOn(cpu_model=facts.cpu_model, gpus=tuple(sorted({gpu.name for gpu in gpus})))


def judged_elsewhere(judged_on: JudgedOn, requires: HostRequirements, facts: HostFacts) -> str:
    """Say in a line how a host differs from that on which a variant was judged; empty if it does not.

    What either of them does not know is no difference.
    """
    differing = list(_differing(judged_on, judged_here(requires, facts)))
    if not differing:
        return ""
    there, here = (" and ".join(names) for names in zip(*differing, strict=True))
    return f"judged on {there}, this host has {here}: measured speed may not hold here"


def _differing(there: JudgedOn, here: JudgedOn) -> Iterator[tuple[str, str]]:
    if there.cpu_model and here.cpu_model and there.cpu_model != here.cpu_model:
        yield there.cpu_model, here.cpu_model
    if there.gpus and here.gpus and there.gpus != here.gpus:
        yield " or ".join(there.gpus), " or ".join(here.gpus)
