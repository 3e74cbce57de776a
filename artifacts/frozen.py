"""The base of every record that is written to the store: frozen, closed, and read back strictly."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable record.

    Unknown keys are refused, so that a typo never passes for a setting. So are NaN and infinity: JSON has
    neither, and a comparison such as `NaN < limit` is always false.
    """

    # A program uses few of the records that it imports: their validators are built at the first use.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values, which are not validated.

        Raises TypeError if there is no such field: pydantic would keep the value, and nothing would read it.
        """
        if unknown := sorted({*(update or {})} - {*type(self).model_fields}):
            raise TypeError(f"{type(self).__name__} has no field {', '.join(unknown)}")
        return super().model_copy(update=update, deep=deep)
