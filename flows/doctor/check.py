"""Checks and their outcomes."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen

Outcome = Literal["ok", "warn", "fail"]
Group = Literal["host", "services", "toolchains", "gpu"]


class Check(Frozen):
    """The result of one check."""

    group: Group = Field(description="The group that the check belongs to.")
    name: str = Field(description="What was checked.")
    outcome: Outcome = Field(
        description="fail: nothing can be built or served; warn: something will not work."
    )
    found: str = Field(description="What was found.")
    remedy: str = Field(default="", description="What to do; empty if all is well.")
