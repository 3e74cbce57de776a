"""Partial models: every field of a model made optional, at every depth, for settings that complete others.

Fields keep their types, bounds and descriptions, so that they are declared once. In a partial model only what
was given counts (`model_fields_set`); an explicit null there means "remove what the defaults say".
"""

from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from engine_specs.reading.frozen import StrictFrozen
from engine_specs.reading.pydantic_errors import model_in


@lru_cache(maxsize=64)
def partial_of(
    model: type[StrictFrozen], name: str, *, base: type[StrictFrozen] = StrictFrozen
) -> type[StrictFrozen]:
    """Make the partial version of `model`.

    Args:
        model: its fields may be scalars, tuples and models; models become partial themselves.
        name: name of the new class, shown in the JSON Schema.
        base: class to derive from; its own fields stay as they are.
    """
    fields: dict[str, Any] = {
        key: _optional(key, info, name)
        for key, info in model.model_fields.items()
        if key not in base.model_fields
    }
    made: type[StrictFrozen] = create_model(name, __base__=base, __doc__=model.__doc__, **fields)
    return made


def _optional(key: str, info: FieldInfo, owner: str) -> tuple[Any, Any]:
    inner = model_in(info.annotation)
    if inner and issubclass(inner, StrictFrozen):
        annotation: Any = partial_of(inner, f"{owner}{key.title()}")
    else:
        # Bounds and validators go inside, next to the type they are meant for: null must not reach them.
        annotation = Annotated[
            info.annotation, *info.metadata, Field(json_schema_extra=info.json_schema_extra)
        ]
    return annotation | None, Field(
        default=None, description=info.description, json_schema_extra=_without_default
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
