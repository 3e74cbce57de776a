"""The result of one check."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen

Outcome = Literal["ok", "warn", "fail"]
Group = Literal["host", "services", "toolchains", "gpu"]


class Check(Frozen):
    """One thing that was looked at."""

    group: Group = Field(description="What it belongs to.")
    name: str = Field(description="What was looked at.")
    outcome: Outcome = Field(
        description="fail: nothing can be built or served; warn: something will not work."
    )
    found: str = Field(description="What was found.")
    remedy: str = Field(default="", description="What to do; empty where all is well.")
