"""The base of every model of this package: frozen, closed, and strict about types."""

from pydantic import ConfigDict

from artifacts.frozen import Frozen


class StrictFrozen(Frozen):
    """An immutable record that converts no value into another type.

    Strict, because YAML already types its scalars: a number where text is asked for is a mistake worth
    showing, not something to convert silently. Fields that hold tuples take lists as well.
    """

    model_config = ConfigDict(strict=True)
