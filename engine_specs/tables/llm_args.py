"""The closed schema of a tool's LLM arguments, as data with sources, and what it refuses of given ones.

Invariants:
- One file per kind that has such arguments, named after the kind; a row per argument of the tool's release.
- Nothing here knows what a spec decides: that an argument contradicts it is found where arguments are made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from engine_specs.reading import LLM_ARGS_DIR, StrictFrozen, read_data, suggestion

SCALARS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}
)
HOLDERS: Mapping[str, tuple[type, ...]] = MappingProxyType({"object": (Mapping,), "list": (list, tuple)})
REQUIRED = "required"


class LlmArgument(StrictFrozen):
    """One argument, or one field of a nested model of arguments."""

    type: str = Field(min_length=1, description="str, int, float, bool, object, list, or a model's name.")
    optional: bool = Field(default=False, description="Whether null is accepted.")
    default: Any = Field(description="Value if it is not given; `required`: there is none.")
    choices: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Accepted values; empty: any of the type."
    )
    items: Literal["int"] | None = Field(default=None, description="Type of a list's items; null: any.")
    item_minimum: int | None = Field(default=None, description="Smallest accepted item.")
    minimum: float | None = Field(default=None, description="Smallest accepted number.")
    maximum: float | None = Field(default=None, description="Largest accepted number.")
    decided_by: str | None = Field(
        default=None, description="What decides it instead, so that no spec passes it; null: a spec may."
    )
    source: str = Field(min_length=1, description="Key of the table's sources.")


@dataclass(frozen=True, slots=True)
class ArgumentProblem:
    """An argument that the schema refuses: its path, what was found, and what would be accepted."""

    path: tuple[str, ...]
    found: str
    accepted: str


class LlmArguments(StrictFrozen):
    """The content of `data/llm_args/<kind>.yaml`."""

    release: str = Field(description="Line of the tool.")
    root: str = Field(description="Name of the model that all arguments are fields of.")
    sources: dict[str, str] = Field(description="Where rows were read, by the key that rows name.")
    models: dict[str, dict[str, LlmArgument]] = Field(description="Fields of each model, by name.")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        rows = {f"{name}.{field}": row for name, model in self.models.items() for field, row in model.items()}
        for name, row in rows.items():
            if row.type not in {*SCALARS, *HOLDERS, *self.models}:
                raise ValueError(f"type {row.type} of {name} is neither a type nor a model")
            if row.source not in self.sources:
                raise ValueError(f"source {row.source} of {name} is none of {', '.join(self.sources)}")
        if self.root not in self.models:
            raise ValueError(f"there is no model {self.root}")
        return self

    def refused(self, given: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
        """Yield every value of a known name that the schema refuses, whatever else is given."""
        yield from self._refused(self.root, given, ())

    def unknown(self, given: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
        """Yield every name that the schema does not have."""
        yield from self._unknown(self.root, given, ())

    def missing(self, given: Mapping[str, Any]) -> Iterator[str]:
        """Yield the paths of fields without a default that a given nested model lacks."""
        for name, row in self.models[self.root].items():
            if row.type in self.models and isinstance(given.get(name), Mapping):
                yield from self._missing(row.type, given[name], name)

    def _refused(
        self, model: str, given: Mapping[str, Any], at: tuple[str, ...]
    ) -> Iterator[ArgumentProblem]:
        for name, value in given.items():
            if (row := self.models[model].get(name)) is None:
                continue
            if row.decided_by:
                accepted = f"nothing: {row.decided_by} decides it"
                yield ArgumentProblem((*at, name), repr(value), accepted)
            elif row.type in self.models and isinstance(value, Mapping):
                yield from self._refused(row.type, value, (*at, name))
            elif wanted := self._wanted(row, value):
                yield ArgumentProblem((*at, name), repr(value), wanted)

    def _unknown(
        self, model: str, given: Mapping[str, Any], at: tuple[str, ...]
    ) -> Iterator[ArgumentProblem]:
        fields = self.models[model]
        for name, value in given.items():
            row = fields.get(name)
            if row is None:
                accepted = f"{suggestion(name, fields)}an argument of TensorRT-LLM {self.release}'s {model}"
                yield ArgumentProblem((*at, name), "an unknown argument", accepted)
            elif row.type in self.models and isinstance(value, Mapping):
                yield from self._unknown(row.type, value, (*at, name))

    def _missing(self, model: str, given: Mapping[str, Any], at: str) -> Iterator[str]:
        for name, row in self.models[model].items():
            if name not in given:
                if row.default == REQUIRED:
                    yield f"{at}.{name}"
            elif row.type in self.models and isinstance(given[name], Mapping):
                yield from self._missing(row.type, given[name], f"{at}.{name}")

    def _wanted(self, row: LlmArgument, value: object) -> str | None:
        """Say what would be accepted instead of a value; None if it is accepted."""
        if value is None:
            return None if row.optional else f"a value of type {row.type}"
        if row.type in self.models:
            return f"a mapping: arguments of {row.type}"
        expected = SCALARS.get(row.type) or HOLDERS[row.type]
        if not isinstance(value, expected) or (isinstance(value, bool) and row.type != "bool"):
            return f"a value of type {row.type}"
        if row.choices and value not in row.choices:
            return f"one of {', '.join(row.choices)}"
        return _out_of_bounds(row, value)


def _out_of_bounds(row: LlmArgument, value: Any) -> str | None:
    if row.minimum is not None and value < row.minimum:
        return f"at least {row.minimum:g}"
    if row.maximum is not None and value > row.maximum:
        return f"at most {row.maximum:g}"
    least = row.item_minimum
    if row.items and (not value or any(type(one) is not int or (least and one < least) for one in value)):
        return f"a list of whole numbers, each at least {least}"
    return None


@lru_cache(maxsize=1)
def load_llm_args() -> Mapping[str, LlmArguments]:
    """Return the schemas by kind; raises SpecInvalid if a data file is invalid."""
    files = sorted(LLM_ARGS_DIR.glob("*.yaml"))
    return MappingProxyType({path.stem: read_data(path, LlmArguments) for path in files})
