"""Tests lie in the folders of what they test, and no folder is too full to be read as a table of contents."""

from pathlib import Path

import pytest
from support.paths import ROOT, TESTS

PACKAGES = ("artifacts", "engine_specs", "tasks", "flows")
MOST_ENTRIES = 14
# They end like other forms of verbs, and are nouns.
NOUNS = {
    *("speed", "settings", "readings", "holdings", "pairings", "tuning", "sharing", "spelling", "sampling"),
    *("judging", "reading", "screening", "drawing", "batching", "training"),
}


def entries(folder: Path) -> list[str]:
    """What `ls` shows next to the folder's own `__init__`, but for folders that only caches are left of."""
    paths = (path for path in folder.iterdir() if path.name not in ("__init__.py", "__pycache__"))
    return [path.name for path in paths if path.is_file() or any(map(_is_kept, path.rglob("*")))]


def _is_kept(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc"


@pytest.mark.parametrize("kind", ["unit", "integration"])
def test_folders_of_tests_are_folders_of_the_source(kind: str) -> None:
    folders = {path.parent.relative_to(TESTS / kind) for path in (TESTS / kind).rglob("test_*.py")}
    assert len(folders) > len(PACKAGES)
    assert [str(folder) for folder in folders if not (ROOT / folder).is_dir()] == []


def test_no_folder_of_source_or_tests_is_too_full() -> None:
    folders = {path.parent for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")}
    counted = {str(folder.relative_to(ROOT)): len(entries(folder)) for folder in folders}
    assert len(counted) > len(PACKAGES)
    assert {folder: count for folder, count in counted.items() if count > MOST_ENTRIES} == {}


def test_modules_and_folders_have_nouns_for_names() -> None:
    """Not what they do (`measuring`), nor what was done (`measured`)."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = {path.parent if path.name == "__init__.py" else path.with_suffix("") for path in paths}
    assert len(names) > 400
    others = {
        str(name.relative_to(ROOT)): last
        for name in names
        if (last := name.name.rpartition("_")[2]) not in NOUNS and last.endswith(("ing", "ed"))
    }
    assert others == {}
