"""Tables may grow: of a table, a stage's identity holds no more than what its variant uses.

Each case changes one table in a copy of the packages and describes every stage of every shipped spec again.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from support.paths import TESTS
from support.plans.identity import describer as program
from support.plans.identity.edits import Edit
from support.plans.identity.tables import TABLES, Related, Table

import tasks
from tasks.runs.fingerprint import Document, explain_difference

TREE = Path(tasks.__file__).parents[1]
PACKAGES = ("artifacts", "engine_specs", "tasks")
CODE = (".py", ".pyc", ".md", ".typed")
Documents = dict[str, Document]
Describe = Callable[[], Documents]
RELATED = [(table.files, what, one) for table in TABLES for what, one in table.related.items()]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages; compiled files come along, which saves each case the time."""
    folder = tmp_path_factory.mktemp("packages")
    for name in PACKAGES:
        shutil.copytree(TREE / name, folder / name)
    return folder


@contextmanager
def describer(packages: Path) -> Iterator[Describe]:
    """Describes all stages with the tables as they are at each call."""
    path = os.pathsep.join((str(packages), str(TESTS)))
    with subprocess.Popen(
        [sys.executable, program.__file__, packages],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None

        def describe() -> Documents:
            print(file=running.stdin, flush=True)
            answer = running.stdout.readline()
            found: Documents | None = json.loads(answer or "null")
            assert found is not None, "its traceback is on stderr"
            return found

        yield describe
        running.stdin.close()


@pytest.fixture(scope="module")
def before(packages: Path) -> Documents:
    """Of a process of its own, whose order of sets is another one: no identity may depend on it."""
    with describer(packages) as describe:
        return describe()


@pytest.fixture(scope="module")
def describe(packages: Path) -> Iterator[Describe]:
    with describer(packages) as describe:
        yield describe


@pytest.fixture
def copy(packages: Path) -> Iterator[Path]:
    """The copy, whose tables are put back afterwards."""
    kept = {path: path.read_bytes() for path in data_files(packages)}
    yield packages
    for path in data_files(packages):
        if path not in kept:
            path.unlink()
        elif path.read_bytes() != kept[path]:
            path.write_bytes(kept[path])


def data_files(folder: Path) -> list[Path]:
    """All files of the packages that are no code."""
    every = (path for name in PACKAGES for path in (folder / name).rglob("*"))
    return sorted(path for path in every if path.is_file() and path.suffix not in CODE)


def differences(
    before: Documents, describe: Describe, packages: Path, *edits: Edit
) -> dict[str, tuple[str, ...]]:
    """What is different after some edits, field by field, by stage; what they add is not."""
    for edit in edits:
        edit(packages)
    after = describe()
    assert before.keys() <= after.keys()
    return {
        stage: explain_difference(document, after[stage])
        for stage, document in before.items()
        if document != after[stage]
    }


def test_every_file_of_data_has_its_changes_here() -> None:
    names = [path.relative_to(TREE).as_posix() for path in data_files(TREE)]
    covering = {name: [table.files for table in TABLES if covers(table, name)] for name in names}
    assert len(names) > len(TABLES)
    assert {name: found for name, found in covering.items() if len(found) != 1} == {}
    assert [table.files for table in TABLES if not any(covers(table, name) for name in names)] == []


def covers(table: Table, name: str) -> bool:
    """Whether a file belongs to a table; unlike `fnmatch`, a star does not reach into folders."""
    return Path(name).match(table.files) and name.count("/") == table.files.count("/")


def test_every_table_says_what_of_it_counts_or_why_nothing_does() -> None:
    assert [table.files for table in TABLES if bool(table.related) == bool(table.unused)] == []


def test_every_stage_of_every_spec_is_described(before: Documents) -> None:
    stages = {stage.rpartition("/")[2] for stage in before}
    assert stages == {"fetch", "baseline", "quantize", "build", "measure", "verdict"}
    assert {stage.partition("/")[0] for stage in before} == {
        path.stem for path in (TREE / "engine_specs").glob("*.yaml")
    }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.files)
def test_what_a_variant_does_not_use_changes_no_stage(
    table: Table, before: Documents, describe: Describe, copy: Path
) -> None:
    assert table.unrelated
    assert differences(before, describe, copy, *table.unrelated) == {}


@pytest.mark.parametrize(("file", "what", "related"), RELATED, ids=[f"{a}: {b}" for a, b, _ in RELATED])
def test_what_a_variant_uses_changes_its_stages(
    file: str, what: str, related: Related, before: Documents, describe: Describe, copy: Path
) -> None:
    found = differences(before, describe, copy, related.edit)
    expected = {stage for stage in before for one in related.stages if fnmatchcase(stage, one)}
    assert found.keys() == expected, f"{what} in {file}: {found}"
    assert all(any(fnmatchcase(stage, one) for stage in found) for one in related.stages)
