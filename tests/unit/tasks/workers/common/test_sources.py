"""Which files a worker is given, fingerprinted by and ships: those that it imports."""

import ast
from pathlib import Path

import pytest

import tasks
from tasks.stages.quantize import WORKER as QUANTIZE
from tasks.workers.common import sources
from tasks.workers.common.sources import ROOT, closure, imported, write_sources

WORKERS = Path(tasks.__file__).parent / "workers"
# What trains the checkpoint of `make gpu-check` runs inside a toolchain, too.
TRAINING = ROOT / "flows" / "demo" / "training"
PACKAGES = ("artifacts", "engine_specs", "tasks", "flows")
SHARED = (
    "common.records",
    "common.requests",
    "common.safetensors",
    "common.shape",
    "common.sources",
    "common.tool_command",
    "completions_server.text.chat_template",
    "garbage",
)
FILES = sorted(WORKERS.rglob("*.py"))
BUILDERS = [f"tasks.workers.{path.parent.name}.build" for path in sorted(WORKERS.glob("*/build.py"))]
TREE = {
    "tasks/__init__.py": "import tasks.secrets",
    "tasks/kinds.py": "",
    "tasks/workers/__init__.py": "",
    "tasks/workers/a/__init__.py": "",
    "tasks/workers/a/main.py": "import json\nimport tasks.workers.b.deep\nfrom tasks.workers.a import x\n",
    "tasks/workers/a/x.py": "def f():\n    from tasks.workers.b.late import thing\n",
    "tasks/workers/a/unrelated.py": "",
    "tasks/workers/b/__init__.py": "",
    "tasks/workers/b/deep.py": "from tasks.kinds import KINDS\nfrom tasks.workers.a.main import main\n",
    "tasks/workers/b/late.py": "thing = 1\n",
}


def tree(root: Path, **changes: str) -> Path:
    for name, content in (TREE | changes).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def names(root: Path, *modules: str) -> list[str]:
    return [source.name.removeprefix("tasks/") for source in closure(*modules, root=root)]


def test_imports_are_followed_within_workers_and_nowhere_else(tmp_path: Path) -> None:
    assert names(tree(tmp_path), "tasks.workers.a.main") == [
        "__init__.py",
        "workers/__init__.py",
        "workers/a/__init__.py",
        "workers/a/main.py",
        "workers/a/x.py",
        "workers/b/__init__.py",
        "workers/b/deep.py",
        "workers/b/late.py",
    ]


def test_what_is_shipped_counts_as_well(tmp_path: Path) -> None:
    found = names(tree(tmp_path), "tasks.workers.b.late", "tasks.workers.a.unrelated")
    assert "workers/a/unrelated.py" in found
    assert "workers/a/main.py" not in found


def test_the_package_around_workers_is_given_empty(tmp_path: Path) -> None:
    write_sources(closure("tasks.workers.b.late", root=tree(tmp_path / "code")), tmp_path / "job")
    assert (tmp_path / "job" / "tasks" / "__init__.py").read_text() == ""
    assert (tmp_path / "job" / "tasks" / "workers" / "b" / "late.py").read_text() == "thing = 1\n"


@pytest.mark.parametrize("name", ["tasks.workers.a.missing", "tasks.kinds", "json"])
def test_a_worker_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=name):
        closure(name, root=tree(tmp_path))


def test_a_file_is_parsed_once_and_given_as_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    monkeypatch.setattr(sources, "imported", lambda content: parsed.append(content) or imported(content))
    tree(tmp_path)
    first = closure("tasks.workers.a.main", root=tmp_path)
    (tmp_path / "tasks" / "workers" / "b" / "late.py").write_text("thing = 2\n")
    assert closure("tasks.workers.a.main", root=tmp_path) == first
    assert len(parsed) == len(first) - 1  # all but the empty package around workers


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(WORKERS).as_posix())
def test_workers_import_nothing_of_ours_but_workers(path: Path) -> None:
    ours = ("tasks", "artifacts", "engine_specs", "flows", "tests")
    found = [name for name in imported(path.read_bytes()) if name.partition(".")[0] in ours]
    assert [name for name in found if not name.startswith("tasks.workers.")] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(WORKERS).as_posix())
def test_packages_of_workers_import_nothing(path: Path) -> None:
    body = ast.parse(path.read_bytes()).body
    assert path.name != "__init__.py" or [type(node) for node in body] == [ast.Expr], "only a docstring"


def module_of(package: str | None, name: str) -> str:
    """The module of an import: a package hands on modules, or names of its own."""
    path = ROOT.joinpath(*(package or "").split("."), f"{name}.py")
    return f"{package}.{name}" if path.is_file() else str(package)


def test_the_rest_of_the_program_imports_what_both_sides_share_and_no_more() -> None:
    shared = {f"tasks.workers.{name}" for name in SHARED}
    paths = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    nodes = (
        node
        for path in paths
        if not path.is_relative_to(WORKERS) and not path.is_relative_to(TRAINING)
        for node in ast.walk(ast.parse(path.read_bytes()))
    )
    found = {
        module_of(node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks.workers")
        for alias in node.names
    }
    assert found
    assert {name for name in found if not name.endswith(".request")} <= shared


@pytest.mark.parametrize("worker", [QUANTIZE, *BUILDERS])
def test_a_worker_gets_a_part_of_the_files_only(worker: str) -> None:
    folder = worker.split(".")[2]
    others = {worker.split(".")[2] for worker in (QUANTIZE, *BUILDERS)} - {folder}
    found = {source.name for source in closure(worker)}
    assert any(name.startswith(f"tasks/workers/{folder}/") for name in found)
    assert not any(name.startswith(f"tasks/workers/{other}/") for name in found for other in others)
