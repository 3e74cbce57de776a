"""One command with placeholders."""

from typing import Any, Literal

from pydantic import Field

from artifacts.frozen import Frozen


class Command(Frozen):
    """One command, which can be run once its placeholders are filled in."""

    what: str = Field(description="What it does.")
    run_by: Literal["stage", "worker"] = Field(
        description="What starts it: the stage, or the worker that the stage started before."
    )
    directory: str | None = Field(default=None, description="Working directory; null if it does not matter.")
    argv: tuple[str, ...] = Field(description="Program and arguments.")
    env: dict[str, str] = Field(
        description="Its environment, except `passed_variables`; empty if it does not matter."
    )
    request: dict[str, Any] | None = Field(
        default=None, description="Content of <request.json>, if the command is a worker."
    )
