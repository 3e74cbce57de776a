"""Settings: `ENGINERY_*` overrides `enginery.toml`, which overrides defaults; an empty variable is unset.

AWS, Hub and Prefect clients read their own standard variables.

Programs read them with `load_settings`, which reports in words what is wrong with them.
"""

import difflib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from artifacts.errors import SettingsInvalid
from artifacts.settings.tool_env import read_tool_env

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "ENGINERY_"
SETTINGS_FILE = Path("enginery.toml")
PlacementName = Literal["together", "shared", "in-turn"]
QuietHost = Literal["require", "record"]
# Names this similar (difflib's ratio) are taken for a misspelt setting; other programs may have variables of
# their own that begin like ours.
ALIKE = 0.65


def _read_json(value: object) -> object:
    """A table as the file gives it, or as JSON as a variable gives it."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ValueError(f'is not JSON ({error}), such as {{"aot-cpu": {{"python": ...}}}}') from error


def _whole(path: Path) -> Path:
    """A path that means the same in every working directory: the worker of the local stack has another."""
    try:
        return path.expanduser().absolute()
    except (RuntimeError, OSError) as error:  # there is no such user, or no working directory
        raise ValueError(f"is no whole path, and cannot be made one: {error}") from error


Directory = Annotated[Path, AfterValidator(_whole)]


class Settings(BaseSettings):
    """Where things are kept, and the few limits that apply to all specs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        toml_file=SETTINGS_FILE,
        extra="forbid",
        validate_default=True,
        frozen=True,
        # Tracebacks show these errors, and a value may be a secret in the wrong place.
        hide_input_in_errors=True,
    )

    home: Directory = Field(
        default_factory=lambda: platformdirs.user_data_path("enginery"),
        description="State of this host: the local stack, work directories, logs.",
    )
    cache_dir: Directory = Field(
        default_factory=lambda: platformdirs.user_cache_path("enginery") / "blobs",
        description="Local cache of blobs.",
    )
    toolchains_dir: Directory = Field(
        default_factory=lambda: platformdirs.user_cache_path("enginery") / "toolchains",
        description="Installed toolchains, shared between checkouts.",
    )
    wheelhouse: Directory | None = Field(
        default=None,
        description="Directory of wheels that are on no package index, and their SHA256SUMS.",
    )
    toolchains: Annotated[dict[str, dict[str, Any]], NoDecode, BeforeValidator(_read_json)] = Field(
        default_factory=dict,
        description="What provides a toolchain instead of an installation from its lock, by name; the key of "
        "the table chooses the provider, such as {python} or {image}.",
    )
    tool_env: Annotated[dict[str, str], NoDecode, BeforeValidator(read_tool_env)] = Field(
        default_factory=dict,
        description="Variables that are handed to tools, recorded with what is measured.",
    )
    gpu_locks_dir: Directory = Field(
        default_factory=lambda: platformdirs.user_cache_path("enginery") / "gpus",
        description="Locks of this host's GPUs; one directory for all users who share them.",
    )
    store_bucket: str = Field(default="enginery", min_length=3, description="S3 bucket of the store.")
    store_prefix: str = Field(
        default="", description="Key prefix inside the bucket, without leading or trailing slashes."
    )
    specs_dir: Directory | None = Field(
        default=None, description="Directory of specs; default: the packaged engine_specs."
    )
    measurement_max_age_hours: float = Field(
        default=168.0, gt=0, allow_inf_nan=False, description="Measurements older than this are made again."
    )
    placement: PlacementName | None = Field(
        default=None,
        description="Where and when the sides of a measurement run; default: as memory and GPUs allow.",
    )
    quiet_host: QuietHost = Field(
        default="require",
        description="Whether speed is measured only while nobody else computes on the host; record: at any "
        "time, and the record says so.",
    )
    job_time_limit_s: float = Field(
        default=3600.0, gt=0, allow_inf_nan=False, description="Time limit of one worker job."
    )
    server_ready_limit_s: float = Field(
        default=600.0, gt=0, allow_inf_nan=False, description="Time limit for a server to become ready."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return, by priority: explicit arguments, environment, `enginery.toml` in the working directory."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings() -> Settings:
    """Return the settings of this run.

    Raises:
        SettingsInvalid: a variable or a key of `enginery.toml` is invalid, or a variable looks like a setting
            whose name is misspelt.
    """
    if os.path.lexists(SETTINGS_FILE) and not SETTINGS_FILE.is_file():
        raise SettingsInvalid("enginery.toml is not a file", where=str(SETTINGS_FILE), fix="move it away")
    try:
        settings = Settings()
    except ValidationError as error:
        problems = [_problem(each) for each in error.errors()]
        raise _unusable(
            problems, "correct the variable, or the key in enginery.toml, or remove it"
        ) from error
    except (ValueError, OSError) as error:  # not text, not TOML, or not readable
        raise SettingsInvalid(
            f"enginery.toml cannot be read: {error}",
            where=str(SETTINGS_FILE),
            fix="correct it, or move it away",
        ) from error
    _require_directories(settings)
    _refuse_misspelt()
    return settings


def _refuse_misspelt() -> None:
    """Refuse variables that were meant as a setting: ignored, they would leave its default in force."""
    if problems := list(_misspelt()):
        raise _unusable(problems, "correct the name, or unset the variable")


def _misspelt() -> Iterator[str]:
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX).lower()
        if name == variable.lower() or name in Settings.model_fields:
            continue
        if near := _alike(name):
            yield f"{variable}: there is no such setting; did you mean {PREFIX}{near.upper()}?"


def _alike(name: str) -> str:
    """Return the setting whose name is most like this one; empty if none is."""
    return next(iter(difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=ALIKE)), "")


def _require_directories(settings: Settings) -> None:
    problems = [
        f"{_spelled((name,))}: found {str(path)!r}; {found} is not a directory"
        for name, path in settings
        if isinstance(path, Path) and (found := _file_in_the_way(path))
    ]
    if problems:
        raise _unusable(problems, "name a directory; it is created if it does not exist")


def _unusable(problems: list[str], fix: str) -> SettingsInvalid:
    head = f"{len(problems)} setting{'s' if len(problems) > 1 else ''} cannot be used:"
    return SettingsInvalid("\n".join([head, *(f"  {problem}" for problem in problems)]), fix=fix)


def _file_in_the_way(path: Path) -> Path | None:
    """Return the part of a path that exists and is not a directory, if any."""
    nearest = next((part for part in (path, *path.parents) if os.path.lexists(part)), path)
    return nearest if os.path.lexists(nearest) and not nearest.is_dir() else None


def _problem(problem: "ErrorDetails") -> str:
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":  # only the file has such keys: other variables are not read
        near = _alike(name)
        return f"{name} in enginery.toml: there is no such setting" + (
            f"; did you mean {near}?" if near else ""
        )
    return f"{_spelled(problem['loc'])}: {_found(problem)}{problem['msg'].removeprefix('Value error, ')}"


def _found(problem: "ErrorDetails") -> str:
    """What was found, except for what may hold a secret."""
    return "" if problem["loc"][0] == "tool_env" else f"found {problem['input']!r}; "


def _spelled(loc: tuple[int | str, ...]) -> str:
    variable, key = f"{PREFIX}{str(loc[0]).upper()}", ".".join(map(str, loc))
    return f"{variable} (or {key} in enginery.toml)"
