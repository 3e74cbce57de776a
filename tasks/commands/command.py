"""One command, written down with placeholders."""

from typing import Any, Literal

from pydantic import Field

from artifacts.frozen import Frozen


class Command(Frozen):
    """One command, ready to run once its placeholders are filled in."""

    what: str = Field(description="What it does.")
    run_by: Literal["stage", "worker"] = Field(
        description="Who starts it: the stage, or the worker that the stage started before."
    )
    directory: str | None = Field(default=None, description="Where it runs; null: it does not matter.")
    argv: tuple[str, ...] = Field(description="Program and arguments.")
    env: dict[str, str] = Field(
        description="Its environment, but for `passed_variables`; empty: it does not matter."
    )
    request: dict[str, Any] | None = Field(
        default=None, description="Content of <request.json>, for the command of a worker."
    )
