"""Options of an engine kind: settings of its tool that a spec may choose, as data with their defaults.

An option that a kind does not declare cannot be set, and one that a spec does not set has its default: so the
plan of an engine always lists all of them.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from engine_specs.reading import StrictFrozen

OptionValue = bool | int | float | str
OptionType = Literal["bool", "int", "float", "str"]
PYTHON_TYPES: dict[OptionType, type] = {"bool": bool, "int": int, "float": float, "str": str}


class KindOption(StrictFrozen):
    """One option of a kind."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name in `engine.options`.")
    description: str = Field(min_length=1, description="What it decides.")
    type: OptionType = Field(description="Type of its values.")
    default: OptionValue | None = Field(
        description="Value if the spec gives none; null: the kind derives it from the rest of the variant."
    )
    choices: Annotated[tuple[OptionValue, ...], Field(strict=False)] = Field(
        default=(), description="Accepted values; empty: any of the type."
    )
    minimum: float | None = Field(default=None, description="Smallest accepted number.")
    maximum: float | None = Field(default=None, description="Largest accepted number.")
    architectures: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Architectures that take another value than the default; empty: all."
    )
    source: str = Field(min_length=10, description="Where its meaning and its values come from.")

    @model_validator(mode="after")
    def _default_is_accepted(self) -> Self:
        if self.default is not None and (refused := self.refuse(self.default)):
            raise ValueError(f"default {self.default!r} of {self.name}: {refused}")
        return self

    def refuse(self, value: OptionValue) -> str | None:
        """Say what would be accepted instead of `value`; None if it is accepted."""
        wanted = PYTHON_TYPES[self.type]
        right_type = type(value) is wanted or (wanted is float and type(value) is int)
        if not right_type:
            return f"a value of type {self.type}"
        if self.choices and value not in self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        if self.minimum is not None and not isinstance(value, str) and value < self.minimum:
            return f"at least {self.minimum:g}"
        if self.maximum is not None and not isinstance(value, str) and value > self.maximum:
            return f"at most {self.maximum:g}"
        return None
