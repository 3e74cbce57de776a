"""Code imports from a folder what the folder hands on, and its modules only from inside it.

A folder that hands on nothing says so in its docstring, with the reason.
"""

import ast
from pathlib import Path

from support.paths import ROOT

PACKAGES = ("artifacts", "engine_specs", "tasks", "flows")
# Importing the folder stays light for plans; who judges imports the module (see the folder's docstring).
APART = {"tasks.judging.judge"}
SAYS_WHY = "Nothing is imported here"
# The files that a worker imports are staged and hashed, so its folders hand on nothing.
WORKERS = "tasks.workers"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources() -> dict[str, Path]:
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {module_of(path): path for path in found if "training" not in path.parts}


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
