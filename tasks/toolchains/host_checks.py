"""What keeps a host from holding a toolchain, said all at once."""

from collections.abc import Sequence

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import ToolchainUnavailable


class Obstacle(Frozen):
    """One thing that is in the way."""

    reason: str = Field(description="One sentence, without a full stop.")
    fix: str = Field(description="What to do about it, if possible the command to type.")


def unavailable(name: str, obstacles: Sequence[Obstacle]) -> ToolchainUnavailable:
    """The error that tells of all of them; a single one is told in its own words."""
    if len(obstacles) == 1:
        return ToolchainUnavailable(obstacles[0].reason, fix=obstacles[0].fix)
    reasons = _numbered([each.reason for each in obstacles])
    what = f"this host cannot hold toolchain {name}, for {len(obstacles)} reasons:{reasons}"
    return ToolchainUnavailable(what, fix=f"each of them:{_numbered([each.fix for each in obstacles])}")


def _numbered(sentences: Sequence[str]) -> str:
    return "".join(f"\n    {number}. {sentence}" for number, sentence in enumerate(sentences, 1))
