"""Texts use none of the words that CONTRIBUTING's guide on text replaces by others.

Tables of interfaces hold the words of others, records of results those of their time; `CONTRIBUTING.md` and
the vocabulary name the words themselves.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT, TESTS

FOLDERS = ("artifacts", "engine_specs", "tasks", "flows", "tests", "docs", ".ci")
FILES = ("README.md", "Makefile", "pyproject.toml", "prefect.yaml")
SUFFIXES = (".py", ".md", ".yaml", ".j2", "")
EXCEPTED = (
    Path(__file__),
    ROOT / "docs" / "vocabulary.md",
    ROOT / "docs" / "results",
    ROOT / "flows" / "demo" / "hub",
    TESTS / "data",
)
REPLACED = re.compile(
    r"\b(told|tells?|telling|beside|mend(s|ed|ing)?|opponents?|rivals?|cannot be had|or else)\b|_told\b"
    r"|\btold_|\b(that|which) (is|are) none\b(?! of)"
    # A number is known when a message is written, and with it the form of its noun.
    r"|\b(record|item|character|request|round|file|device|GPU|variant|text|token|second)\(s\)",
    re.IGNORECASE,
)
# The method of files.
POSITION = re.compile(r"\btell\(")


def texts() -> Iterator[Path]:
    yield from (ROOT / name for name in FILES)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SUFFIXES and path.is_file() and not set(EXCEPTED) & {path, *path.parents}:
                yield path


def replaced(text: str) -> list[str]:
    """The lines that use one of the words."""
    return [line.strip() for line in text.splitlines() if REPLACED.search(POSITION.sub("", line))]


@pytest.mark.parametrize(
    "line",
    [
        "It tells which.",
        "3 record(s) are damaged",
        "beside it",
        "`told`",
        "an id that is none",
        "x_told = 1",
        "this or else that",
    ],
)
def test_the_words_are_found(line: str) -> None:
    assert replaced(f"fine\n{line}\nfine") == [line]


@pytest.mark.parametrize(
    "line", ["besides that", "file.tell()", "recommended", "satellite", "everything else"]
)
def test_other_words_are_not(line: str) -> None:
    assert replaced(line) == []


def test_no_text_uses_them() -> None:
    files = list(texts())
    assert len(files) > 1000
    found = {str(path.relative_to(ROOT)): replaced(path.read_text(encoding="utf-8")) for path in files}
    assert {path: lines for path, lines in found.items() if lines} == {}
