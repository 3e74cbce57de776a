"""Errors of the declarative layer: everything that can be wrong with a spec, all of it at once."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a spec.

    Attributes:
        field: dotted path of the field, as written in the YAML (`variants[0].shape.max_batch_size`).
        found: the value found, as text; empty where a field is missing.
        accepted: what would be accepted instead.
        line: 1-based line in the file, 0 where there is no file.
    """

    field: str
    found: str
    accepted: str
    line: int = 0


class EngineSpecError(Exception):
    """Base of all errors of this package."""

    exit_code: ClassVar[int] = 2
    failure: ClassVar[str] = "input"


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
        found = f"found {problem.found}; " if problem.found else ""
        return f"  {self.file}:{problem.line}: {problem.field}: {found}{problem.accepted}"


class SpecNotFound(EngineSpecError):
    """No spec has that name, and no file that path."""


class PreflightRefused(EngineSpecError):
    """The spec reads well, but what it asks for cannot work; `problems` holds every reason."""

    failure: ClassVar[str] = "unsupported"

    def __init__(self, spec: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        lines = [f"{spec}: pre-flight refuses {len(problems)} setting(s)"]
        lines += [f"  {p.field}: found {p.found}; {p.accepted}" for p in problems]
        super().__init__("\n".join(lines))
