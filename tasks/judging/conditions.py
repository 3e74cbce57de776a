"""The conditions under which sides were measured: placement, starts, GPU memory, and others' load."""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.settings import PlacementName, QuietHost

# In 33 measurements of the demo on a host of 2 cores, others used at most .10 cores (5 %) in those whose
# ratios agreed, and at least .40 cores (20 %) in those that were off. This is between: far enough above the
# quiet ones that few pairs are made again for nothing.
MOST_FOREIGN = 0.10
# Nobody on this host sees what a hypervisor takes, so less of it is accepted.
MOST_STEAL = 0.05
# If more of the pairs had to be made again, the others were hardly made in quiet, either.
MOST_MADE_AGAIN = 0.25


class PlacementChoice(Frozen):
    """Where and when the sides of a measurement run, and why."""

    name: PlacementName = Field(
        description="together: each side on its own GPUs; shared: all on the same; in-turn: one at a time."
    )
    reason: str = Field(description="Why, as part of a sentence.")
    memory_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of each GPU's memory that every side gets; null: it is not divided.",
    )

    def text(self) -> str:
        """Write it as part of a sentence."""
        share = f", each with {self.memory_share:g} of the memory" if self.memory_share else ""
        return f"{self.name}{share} ({self.reason})"


class Start(Frozen):
    """One start of a side's server."""

    side: str = Field(description="Name of the side.")
    ready_s: float = Field(ge=0, description="Seconds from its start until it was ready.")


class RanWith(Frozen):
    """What vLLM ran with as a side; whatever is not named here was at vLLM's own default."""

    side: str = Field(description="Name of the side.")
    flags: tuple[str, ...] = Field(description="Flags that it was given, each with its value.")
    cache: dict[str, str] = Field(description="Settings of its KV cache by name, as its server reports them.")

    def text(self) -> str:
        """Write it as part of a sentence."""
        cache = ", ".join(f"{name} {value}" for name, value in self.cache.items())
        return " ".join(self.flags) + (f" (KV cache: {cache})" if cache else "")


class SideMemory(Frozen):
    """The memory that one side takes of its fullest GPU."""

    side: str = Field(description="Name of the side.")
    estimated_bytes: int | None = Field(
        default=None, description="Pre-flight's estimate; null if the target fixes no memory."
    )
    peak_bytes: int | None = Field(
        default=None, description="The most that was seen while it served; null if nothing could be read."
    )
    read_by: Literal["process", "device"] | None = Field(
        default=None,
        description="Whether the driver counted the side's own processes, or the whole device, which it had "
        "to itself; null if nothing could be read.",
    )


class HostLoad(Frozen):
    """What others used of the host during one round: all but the servers of the sides, and their client."""

    cores: float = Field(gt=0, description="Cores that this process may use.")
    foreign: float = Field(ge=0, le=1, description="Share of these cores that others kept busy.")
    steal: float = Field(ge=0, description="Share of their time that other machines on the same host got.")
    on_gpus: tuple[str, ...] = Field(
        default=(), description="Processes of others that computed on the GPUs of the side."
    )
    busiest: tuple[str, ...] = Field(
        default=(), description="Processes of others that used most, if they disturbed the round."
    )

    @property
    def disturbs(self) -> bool:
        """Whether a round with this load says too much about others."""
        return self.foreign > MOST_FOREIGN or self.steal > MOST_STEAL or bool(self.on_gpus)

    def text(self) -> str:
        """Write it as part of a sentence."""
        steal = f", other machines {self.steal:.0%}" if self.steal > MOST_STEAL else ""
        who = "".join(f"; {one}" for one in dict.fromkeys((*self.on_gpus, *self.busiest)))
        return f"others used {self.foreign:.1%} of {self.cores:g} cores{steal}{who}"


def host_in_words(
    required: QuietHost, loads: Sequence[HostLoad | None], *, made_again: int = 0, pairs: int = 0
) -> Iterator[str]:
    """Yield sentences on how quiet the host was during rounds; none if it was quiet, and had to be.

    `made_again` is how many of the `pairs` were made more than once.
    """
    known = [one for one in loads if one is not None]
    if required == "record":
        yield "The host was not required to be quiet."
    if len(known) < len(loads):
        yield "Nobody can say what others used of it meanwhile."
    if known and any(one.disturbs for one in known):
        worst = max(known, key=lambda one: (bool(one.on_gpus), max(one.foreign, one.steal)))
        disturbed = sum(one.disturbs for one in known)
        yield f"Others disturbed {disturbed} of {len(known)} rounds; at most, {worst.text()}."
    if made_again:
        yield f"For others' load, {made_again} of {pairs} pairs were made again."
