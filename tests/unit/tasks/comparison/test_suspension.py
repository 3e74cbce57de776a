"""A suspended server stands still with all of its processes, and goes on afterwards."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.programs.processes import is_suspended, wait_until

from tasks.comparison.suspension import suspended

FAMILY = """
import subprocess
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and its child."""
    process = subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    yield process.pid, child
    subprocess.run(["kill", "-9", str(child)], check=True)
    process.kill()
    process.wait()
    process.stdout.close()


def test_all_processes_of_a_server_stand_still(family: tuple[int, int]) -> None:
    with suspended([family[0]]):
        wait_until(lambda: all(map(is_suspended, family)))
    wait_until(lambda: not any(map(is_suspended, family)))


def test_they_go_on_after_an_error(family: tuple[int, int]) -> None:
    with pytest.raises(KeyboardInterrupt), suspended([family[0]]):
        raise KeyboardInterrupt
    wait_until(lambda: not any(map(is_suspended, family)))


def test_a_server_that_has_ended_is_left_out(family: tuple[int, int]) -> None:
    with suspended([4_000_000, family[0]]):
        wait_until(lambda: is_suspended(family[1]))
