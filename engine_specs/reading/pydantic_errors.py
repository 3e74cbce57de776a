"""Turning pydantic's errors into problems: line, field, what was found and what would be accepted."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from engine_specs.reading.errors import Problem
from engine_specs.reading.names import PATTERN_HELP, suggestion
from engine_specs.reading.yaml_tree import Document, Loc, dotted

# What a type asks for, in words. Other errors have their own text or are worded below.
_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "date_type": "a date, such as 2026-12-31",
    "date_from_datetime_parsing": "a date, such as 2026-12-31",
}
_BOUNDS = {
    "greater_than": ("gt", "a number greater than {}"),
    "greater_than_equal": ("ge", "a number of at least {}"),
    "less_than": ("lt", "a number less than {}"),
    "less_than_equal": ("le", "a number of at most {}"),
    "string_too_short": ("min_length", "text of length {} or more"),
    "string_too_long": ("max_length", "text of length {} at most"),
    "too_short": ("min_length", "a list of length {} or more"),
}


def explain(
    error: ErrorDetails, model: type[BaseModel], document: Document, at: Loc | None = None
) -> Problem:
    """Turn one pydantic error into a problem.

    Args:
        error: as `ValidationError.errors()` gives it, with a location below `model`.
        model: the model that was validated.
        document: the YAML that the data came from.
        at: location in the document, if it differs from the one in the model.
    """
    loc: Loc = error["loc"]
    place = loc if at is None else at
    mark = document.mark(place)
    return Problem(dotted(place), _found(error, document, place), _accepted(error, model, loc), mark.line)


def _found(error: ErrorDetails, document: Document, place: Loc) -> str:
    match error["type"]:
        case "missing":
            return ""
        case "extra_forbidden":
            return "an unknown key"
    return shown(error["input"], document.texts.get(place))


def shown(value: Any, text: str | None = None) -> str:
    """Format a value for an error message; `text` is the scalar as written in the file."""
    match value:
        case str():
            return repr(value) if len(value) <= 80 else f"{value[:77]!r}..."
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {text or value}"
        case Mapping():
            return "a mapping"
        case _:
            return "a list" if value else "an empty list"


def _accepted(error: ErrorDetails, model: type[BaseModel], loc: Loc) -> str:
    kind, context = error["type"], error.get("ctx", {})
    owner, info = field_at(model, loc)
    about = f" ({info.description})" if info and info.description else ""
    if kind == "missing":
        return f"required{about}"
    if kind == "extra_forbidden":
        known = list(owner.model_fields) if owner else []
        return f"{suggestion(loc[-1], known)}keys here: {', '.join(known)}"
    if kind == "literal_error":
        return _choice(error, context)
    if kind == "string_pattern_mismatch":
        return PATTERN_HELP.get(context["pattern"], f"text that matches {context['pattern']}")
    if kind == "string_type":
        return _quoted(error["input"], info) + about
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return words.format(f"{context[key]:g}") + about
    return _TYPES.get(kind, error["msg"]) + (about if kind in _TYPES else "")


def _choice(error: ErrorDetails, context: Mapping[str, Any]) -> str:
    options = [option.strip("'") for option in context["expected"].replace(" or ", ", ").split(", ")]
    return f"{suggestion(error['input'], options)}one of: {', '.join(options)}"


def _quoted(value: object, info: FieldInfo | None) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "text"
    patterns = [m.pattern for m in info.metadata if getattr(m, "pattern", None)] if info else []
    return next((PATTERN_HELP[p] for p in patterns if p in PATTERN_HELP), "text") + ", in quotes"


def field_at(model: type[BaseModel], loc: Loc) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """Return the model that holds the last name of `loc`, and that field if it exists."""
    owner: type[BaseModel] | None = model
    info: FieldInfo | None = None
    for part in loc:
        if isinstance(part, int):
            continue
        owner = model_in(info.annotation) if info else owner
        if owner is None:
            return None, None
        info = owner.model_fields.get(part)
    return owner, info


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside an annotation such as `Model | None` or `tuple[Model, ...]`, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := model_in(arg))), None)
