"""Every path and every module that a document names exists; the vocabulary has one row per word.

In paths, `*` and words in capitals (`tasks/kinds/NAME.py`) stand for any name: some file has to match.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from support.paths import ROOT, TESTS

from artifacts.settings import PlacementName
from engine_specs.tables import load_kinds
from tasks.judging.endpoint import Role
from tasks.judging.gates import VerdictName
from tasks.toolchains.providers.registry import PROVIDERS

PACKAGES = ("artifacts", "engine_specs", "flows", "tasks")
FOLDERS = (*PACKAGES, "docs", "requirements", "tests", r"\.ci")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "Makefile", "prefect.yaml", *sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")
))  # fmt: skip
OWN_PATH = re.compile(rf"(?<![\w/.:-])(?:{'|'.join(FOLDERS)})(?:/[\w.*-]+)+/?")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
MODULE = re.compile(rf"(?<![\w/.-])(?:{'|'.join((*PACKAGES, 'support'))})(?:\.[A-Za-z_]\w*)+(?![\w/(])")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")


def paths_in(document: Path, text: str) -> Iterator[str]:
    """What a text names by path, relative to the repository."""
    yield from (found.rstrip(".").rstrip("/") for found in OWN_PATH.findall(text))
    for link in LINK.findall(text):
        yield (document.parent / link).resolve().relative_to(ROOT).as_posix()


def exists(path: str) -> bool:
    """Whether the repository has it, or something that its placeholders stand for."""
    if (ROOT / path).exists():
        return True
    pattern = PLACEHOLDER.sub("*", path)
    return "*" in pattern and next(ROOT.glob(pattern), None) is not None


def resolves(name: str) -> bool:
    """Whether a dotted name is a module or package of ours, or a name at the top of one."""
    *parents, last = name.split(".")
    if _module(name):
        return True
    module = _module(".".join(parents))
    return module is not None and last in _top_names(module)


def _module(name: str) -> Path | None:
    place = (TESTS if name.startswith("support") else ROOT).joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"), place)
    return next((path for path in candidates if path.exists()), None)


def _top_names(module: Path) -> set[str]:
    if module.is_dir():
        return set()
    names: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    missing = sorted({path for path in paths_in(ROOT / document, text) if not exists(path)})
    missing += sorted({name for name in MODULE.findall(text) if not resolves(name)})
    assert missing == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("see `tasks/kinds/kind.py` and `tests/data/golden/`.", []),
        ("see `tasks/kinds/kinds.py`.", ["tasks/kinds/kinds.py"]),
        ("a row of `engine_specs/kinds/*.yaml`, `tasks/kinds/NAME.py`", []),
        ("`tasks/workers/NAME/built.py`", ["tasks/workers/NAME/built.py"]),
        ("`https://example.org/docs/tasks/nothing.py`", []),
        ("[results](docs/results/none.md)", ["docs/results/none.md"]),
    ],
)
def test_a_path_that_does_not_exist_is_found(text: str, missing: list[str]) -> None:
    assert sorted({path for path in paths_in(ROOT / "README.md", text) if not exists(path)}) == missing


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("tasks.workers.aot.build", True),
        ("artifacts.store.open_store", True),
        ("engine_specs.spec.load.load_spec", True),
        ("support.plans.golden", True),
        ("tasks.hub.fetch", False),
        ("artifacts.store.s3.Bucket", False),
    ],
)
def test_a_module_that_does_not_exist_is_found(name: str, there: bool) -> None:
    assert resolves(name) == there


ROW = re.compile(r"^\| (?!word \||---)([^|]+) \| ([^|]+) \|", re.MULTILINE)
VOCABULARY = (ROOT / "docs" / "vocabulary.md").read_text(encoding="utf-8")
# A word with two rows says of what it speaks in each: "of a stage: ...".
OF_WHAT = re.compile(r"of (a |an )?[a-z ]+: ")


def meanings(text: str) -> dict[str, list[str]]:
    """The rows of each word; a row may explain several."""
    found = defaultdict(list)
    for words, meaning in ROW.findall(text):
        for word in words.split(", "):
            found[word].append(meaning)
    return found


def unclear(text: str) -> list[str]:
    """The words that have several rows of which one does not say of what it speaks."""
    return [
        word
        for word, said in meanings(text).items()
        if len(said) > 1 and not all(OF_WHAT.match(one) for one in said)
    ]


def test_each_word_has_one_meaning() -> None:
    assert len(meanings(VOCABULARY)) > 80
    assert unclear(VOCABULARY) == []


def test_a_word_with_two_meanings_is_found() -> None:
    assert unclear("| hit, miss | in the store | |\n| miss | too late | |\n") == ["miss"]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("engine kind", load_kinds()),
        ("role", get_args(Role)),
        ("placement", get_args(PlacementName)),
        ("verdict", get_args(VerdictName)),
        ("provider", [one.name for one in PROVIDERS]),
    ],
)
def test_the_names_in_a_row_are_those_of_the_code(word: str, names: list[str]) -> None:
    (meaning,) = meanings(VOCABULARY)[word]
    assert set(re.findall(r"`([^`]+)`", meaning)) == set(names)
