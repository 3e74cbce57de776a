"""The base of every model of this package: frozen, closed, and strict about types."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable record; unknown keys are refused, and no value is bent into another type.

    Strict, because YAML already types its scalars: a number where text is asked for is a mistake worth
    showing, not something to convert silently. Fields that hold tuples take lists as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
