"""The spec: one model, the engines to build from it, the load they are for, and the gates they must pass.

Invariants:
- Every `Spec` is consistent: `rules.violations` found nothing in the spec or in any merged variant.
- Its identity is its content: `model_dump()` never holds the path that it was read from.
- Nothing in it depends on the environment.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from engine_specs.reading import ChannelName, Repo, Revision, Slug, StrictFrozen, Version, merged
from engine_specs.spec.rules import violations
from engine_specs.spec.validation import Validation
from engine_specs.spec.variant import VariantDefaults, VariantOverrides, VariantSettings
from engine_specs.spec.workload import Workload
from engine_specs.tables import TargetName

INCONSISTENT = "inconsistent"


def _is_empty(value: dict[str, float]) -> bool:
    return not value


def _is_one(value: float) -> bool:
    return value == 1.0


def _is_zero(value: int) -> bool:
    return value == 0


class Checkpoint(StrictFrozen):
    """The model on the Hub, pinned."""

    repo: Repo = Field(description="Model repository on the Hub, such as owner/name.")
    revision: Revision = Field(
        description="Commit: 40 hexadecimal digits; a branch or tag only with track: true."
    )
    track: bool = Field(
        default=False, description="Follow a branch or tag; the commit it resolved to is recorded."
    )


class Economics(StrictFrozen):
    """Prices and load, at which an engine must pay for itself."""

    gpu_hour_usd: float = Field(
        ge=0, le=10_000, description="Price of one device for an hour: a GPU, or the host of a CPU engine."
    )
    target_gpu_hour_usd: dict[TargetName, Annotated[float, Field(ge=0, le=10_000)]] = Field(
        default_factory=dict,
        exclude_if=_is_empty,
        description="The same for single targets, by name, where it differs.",
    )
    requests_per_day: float = Field(
        gt=0, le=1e12, description="Requests of the workload's shape that are served in a day."
    )
    peak_to_mean: float = Field(
        default=1.0,
        ge=1,
        le=1_000,
        exclude_if=_is_one,
        description="The load at its peak, for which devices are bought, by its mean over the day.",
    )
    spare_servers: int = Field(
        default=0, ge=0, le=1_000, exclude_if=_is_zero, description="Servers that stand by for a failure."
    )
    upkeep_hours_per_month: float = Field(
        ge=0, le=10_000, description="Hours of work per month that a compiled engine takes."
    )
    engineer_hour_usd: float = Field(ge=0, le=10_000, description="Price of an hour of that work.")
    builds_per_month: float = Field(
        default=1, ge=0, le=10_000, description="Rebuilds of the engine per month, on one device."
    )

    def at(self, target: str) -> Self:
        """Return the economics with the price of one target, and no others."""
        price = self.target_gpu_hour_usd.get(target, self.gpu_hour_usd)
        return self.model_copy(update={"gpu_hour_usd": price, "target_gpu_hour_usd": {}})


class Spec(StrictFrozen):
    """One model, the engines to build from it, the load they are for, and the gates they must pass."""

    name: Slug = Field(description="Name of the spec and of its releases.")
    version: Version = Field(description="Declared version; the patch number is assigned at publication.")
    checkpoint: Checkpoint = Field(description="The model on the Hub, pinned.")
    compile: Literal["when-justified", "always"] = Field(
        default="when-justified",
        description="when-justified: stop before compiling if it cannot pay; always: compile.",
    )
    defaults: VariantDefaults = Field(
        default_factory=lambda: VariantDefaults.model_validate({}),
        description="What every variant inherits, and may override.",
    )
    variants: Annotated[tuple[VariantOverrides, ...], Field(strict=False, min_length=1, max_length=64)] = (
        Field(description="The engines to build.")
    )
    workload: Workload = Field(description="The load they are judged under.")
    validation: Validation = Field(description="How they are judged.")
    economics: Economics = Field(description="Prices and load, at which an engine must pay for itself.")
    channels: Annotated[tuple[ChannelName, ...], Field(strict=False, max_length=16)] = Field(
        default=(), description="Channels that point to a release once it is published."
    )

    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file it was read from; None for a spec that was made in memory."""
        return self._path

    def at(self, path: Path) -> Self:
        """Return this spec as if it was read from the file `path`."""
        placed = self.model_copy()
        placed._path = path  # noqa: SLF001 (of its own class)
        return placed

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        data = self.model_dump(exclude_unset=True)
        variants = [merged(data.get("defaults", {}), variant) for variant in data["variants"]]
        try:
            for variant in variants:
                VariantSettings.model_validate(variant)
        except ValidationError as error:
            # If it was raised as is, pydantic would take its locations for locations in the spec.
            raise PydanticCustomError(INCONSISTENT, "{text}", {"text": str(error)}) from None
        found = violations(data, variants)
        if found:
            text = "; ".join(str(violation) for violation in found)
            raise PydanticCustomError(INCONSISTENT, "{text}", {"text": text})
        return self
