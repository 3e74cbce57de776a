"""Errors of the declarative layer, which report all problems of a spec at once."""

from dataclasses import dataclass
from typing import ClassVar

from artifacts.errors import EngineryError, FailureClass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a spec.

    Attributes:
        field: dotted path of the field, as written in the YAML (`variants[0].shape.max_batch_size`).
        found: the value found, as text; empty if a field is missing.
        accepted: what would be accepted instead.
        line: 1-based line in the file, 0 if there is no file.
        column: 1-based column, given only for broken syntax, otherwise 0.
    """

    field: str
    found: str
    accepted: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return (
            f"{self.field}: found {self.found}; {self.accepted}"
            if self.found
            else f"{self.field}: {self.accepted}"
        )


class EngineSpecError(EngineryError):
    """Base of all errors of this package."""

    exit_code = 2
    failure: ClassVar[FailureClass] = "input"


class SpecInvalid(EngineSpecError):
    """A spec file with problems; `problems` holds every one of them."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        self.file = file
        self.problems = problems
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        count = len(self.problems)
        head = f"{self.file}: {count} problem{'s' if count > 1 else ''}"
        return [head, *(self._line(problem) for problem in self.problems)]

    def _line(self, problem: Problem) -> str:
        where = f"{self.file}:{problem.line}" + (f":{problem.column}" if problem.column else "")
        return f"  {where}: {problem}"


class SpecNotFound(EngineSpecError):
    """No spec has that name, or no file has that path."""


class PreflightRefused(EngineSpecError):
    """The spec is valid, but what it asks for cannot work; `problems` holds every reason."""

    failure = "unsupported"

    def __init__(self, spec: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = len(problems)
        head = f"{spec}: pre-flight refuses {count} setting{'s' if count > 1 else ''}"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in problems)]))
