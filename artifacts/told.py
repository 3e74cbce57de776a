"""The shape that every error of the project has: what is wrong, where, and what to do next."""

from typing import ClassVar


class ToldError(Exception):
    """What the error bases of the packages share; never raised itself.

    Classes carry the exit code of the documented table (README, "Settings and exit codes") and the failure
    class that opens the state's message in Prefect; only `flows.cli` turns an error into text and that code.

    Args:
        what: one sentence: what is wrong, with the value found.
        where: the file, key, address or field it is about.
        fix: what to do next, if possible the command to type.
    """

    exit_code: ClassVar[int] = 1
    failure: ClassVar[str] = "infrastructure"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        where = f"  where: {self.where}" if self.where else ""
        fix = f"  fix: {self.fix}" if self.fix else ""
        return "\n".join(filter(None, (self.what, where, fix)))
