"""Tables may grow: of a table, a stage's identity holds no more than what its variant uses.

Each case changes one table in a copy of the packages and describes every stage of every shipped spec again.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from support.identity import documents
from support.identity.tables import TABLES, Edit, Related, Table

import tasks
from tasks.runs.fingerprint import Document, explain_difference

TREE = Path(tasks.__file__).parents[1]
PACKAGES = ("artifacts", "engine_specs", "tasks")
CODE = (".py", ".pyc", ".md", ".typed")
Documents = dict[str, Document]
RELATED = [(table.files, what, one) for table in TABLES for what, one in table.related.items()]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages; compiled files come along, which saves each case the time."""
    folder = tmp_path_factory.mktemp("packages")
    for name in PACKAGES:
        shutil.copytree(TREE / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def before(packages: Path) -> Documents:
    return described(packages)


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


def described(packages: Path) -> Documents:
    done = subprocess.run(
        [sys.executable, documents.__file__, packages],
        env=os.environ | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Documents = json.loads(done.stdout)
    return found


def differences(before: Documents, packages: Path, *edits: Edit) -> dict[str, tuple[str, ...]]:
    """What is different after some edits, field by field, by stage; what they add is not."""
    for edit in edits:
        edit(packages)
    after = described(packages)
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
def test_what_a_variant_does_not_use_changes_no_stage(table: Table, before: Documents, copy: Path) -> None:
    assert table.unrelated
    assert differences(before, copy, *table.unrelated) == {}


@pytest.mark.parametrize(("file", "what", "related"), RELATED, ids=[f"{a}: {b}" for a, b, _ in RELATED])
def test_what_a_variant_uses_changes_its_stages(
    file: str, what: str, related: Related, before: Documents, copy: Path
) -> None:
    found = differences(before, copy, related.edit)
    expected = {stage for stage in before for one in related.stages if fnmatchcase(stage, one)}
    assert found.keys() == expected, f"{what} in {file}: {found}"
    assert all(any(fnmatchcase(stage, one) for stage in found) for one in related.stages)
