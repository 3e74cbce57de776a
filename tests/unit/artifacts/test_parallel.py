"""Work in threads, and how it ends."""

import signal
import subprocess
import sys
import threading

import pytest

from artifacts.parallel import run_all

STUCK = """
import threading
from artifacts.parallel import run_all
def work(item):
    if item == 0:
        print("begun", flush=True)
    threading.Event().wait()
run_all(work, range(4), threads=2)
"""


def test_results_come_in_the_order_of_the_items() -> None:
    later = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert later.wait(60)
        elif item == 9:
            later.set()
        return item * item

    assert run_all(work, range(10), threads=2) == [item * item for item in range(10)]


def test_no_items_are_no_work() -> None:
    assert run_all(str, [], threads=4) == []


def test_the_first_failure_is_raised_and_what_was_not_begun_is_dropped() -> None:
    begun: list[int] = []
    stop = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise KeyError(item)
        assert stop.wait(0 if item < 2 else 60) or item < 2

    with pytest.raises(KeyError, match="2"):
        run_all(work, range(1000), threads=2, stop=stop)
    assert sorted(begun) in ([0, 1, 2], [0, 1, 2, 3])


def test_control_c_does_not_wait_for_threads_that_are_stuck() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
    process.stdout.close()
