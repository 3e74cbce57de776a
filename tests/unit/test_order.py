"""Which tests run in one process, and which start first: by the folders that tests/conftest.py names."""

from typing import Any

import pytest
from support.paths import TESTS

ENGINES = TESTS / "integration" / "tasks" / "workers" / "aot"
STACK = TESTS / "integration" / "flows" / "stack" / "components"


@pytest.fixture
def order(pytestconfig: pytest.Config) -> Any:
    """The module that sorts and groups."""
    return pytestconfig.pluginmanager.get_plugin(str(TESTS / "conftest.py"))


def test_every_place_that_is_named_is_there(order: Any) -> None:
    places = {*order.FIRST, *order.SHARING}
    assert [place for place in places if not (TESTS / place).exists()] == []


def test_what_shares_a_stack_or_engines_is_one_group(order: Any) -> None:
    for folder in (ENGINES, STACK, TESTS / "e2e"):
        assert len({order._group(path) for path in folder.glob("test_*.py")}) == 1


def test_files_of_one_name_are_groups_of_their_own(order: Any) -> None:
    files = [*(TESTS / "unit").rglob("test_*.py"), *(TESTS / "integration").rglob("test_*.py")]
    apart = [path for path in files if path.parent not in (ENGINES, STACK)]
    assert len({path.name for path in apart}) < len(apart) == len({order._group(path) for path in apart})


def test_the_main_job_starts_first_and_units_last(order: Any) -> None:
    e2e, other = TESTS / "e2e" / "test_main_job.py", TESTS / "integration" / "test_wheel.py"
    unit = TESTS / "unit" / "test_order.py"
    assert sorted([unit, other, ENGINES / "test_build.py", e2e], key=order._rank) == [
        e2e, ENGINES / "test_build.py", other, unit,
    ]  # fmt: skip
