"""Code imports from a folder what the folder hands on, and its modules only from inside it.

A folder that hands on nothing says so in its docstring, with the reason.
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT, TESTS

PACKAGES = ("artifacts", "engine_specs", "tasks", "flows")
# Importing the folder stays light for plans; who judges imports the module (see the folder's docstring).
APART = {"tasks.judging.judge"}
SAYS_WHY = "Nothing is imported here"
# The files that a worker imports are staged and hashed, so its folders hand on nothing.
WORKERS = "tasks.workers"


# Importers and imported, deep in rooms for which no layers are declared.
CYCLES = [
    ("tasks.judging.measure.open_loop.stretches", "tasks.judging.measure.timed_answers.spelling"),
    ("tasks.hub.transfer.blobs", "tasks.hub.row_files.splits"),
    ("engine_specs.preflight.memory.estimate", "engine_specs.preflight.quantized_checkpoint.plain"),
]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources() -> dict[str, Path]:
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {module_of(path): path for path in found}


def imported(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]


def test_folders_are_imported_by_what_they_hand_on() -> None:
    modules = sources()
    folders = {name: path for name, path in modules.items() if path.name == "__init__.py"}
    silent = {
        name
        for name, path in folders.items()
        if SAYS_WHY in " ".join(path.read_text().split()) or f"{name}.".startswith(f"{WORKERS}.")
    }
    past_the_door = [
        f"{importer} imports {module}"
        for importer, path in modules.items()
        for module in imported(path)
        if module in modules
        and module not in folders
        and module not in APART
        and (folder := module.rpartition(".")[0]) not in {*PACKAGES, *silent}
        and not f"{importer}.".startswith(f"{folder}.")
    ]
    assert past_the_door == []


def test_folders_hand_on_what_others_import() -> None:
    """And nothing else: a name that nobody takes from there says that it is used where it is not."""
    modules = sources()
    files = (*modules.values(), *TESTS.rglob("*.py"))
    taken = {name for path in files for name in _taken(path)}
    handed_on = {
        f"{folder}.{name}"
        for folder, path in modules.items()
        if path.name == "__init__.py"
        for name in _listed(ast.parse(path.read_text()))
    }
    assert len(handed_on) > 300
    assert handed_on - taken == set()


def _taken(path: Path) -> Iterator[str]:
    """What a file imports from folders, and what it reads of a folder that it imports as a whole."""
    tree, wholes = ast.parse(path.read_text()), dict[str, str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{one.name}" for one in node.names)
            wholes |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in wholes:
            yield f"{wholes[node.value.id]}.{node.attr}"


def _listed(tree: ast.Module) -> list[str]:
    """The names of `__all__`; none if there is no such list."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, whose imports are as declared."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=lambda _, names: _not_sources(names))
    shutil.copy(ROOT / "pyproject.toml", folder)
    assert "0 broken" in linted(folder)
    return folder


def _not_sources(names: list[str]) -> list[str]:
    return [name for name in names if ("." in name and not name.endswith(".py")) or name == "__pycache__"]


def linted(folder: Path) -> str:
    """What `make lint` has against the imports there."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(("one", "other"), CYCLES, ids=[one for one, _ in CYCLES])
def test_folders_that_import_each_other_are_found(copy: Path, one: str, other: str) -> None:
    paths = {copy / f"{name.replace('.', '/')}.py": name for name in (one, other)}
    before = {path: path.read_text() for path in paths}
    for path, imported_name in zip(paths, (other, one), strict=True):
        path.write_text(f"{before[path]}\nimport {imported_name}  # planted\n")
    try:
        assert "No cycles are allowed in" in linted(copy)
    finally:
        for path, text in before.items():
            path.write_text(text)
