"""A host is quiet, or is waited for, or is called busy with the names of who keeps it so."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import pytest

from tasks.errors import HostBusy
from tasks.hosts.cpu_readings import CpuReading, ProcessTime
from tasks.hosts.host_watch import HostWatch, QuietRule, Unattributable

RULE = QuietRule(share=0.05, for_s=10.0, limit_s=60.0)
NO_PATIENCE = QuietRule(share=0.05, for_s=10.0, limit_s=0.0)
BURNER = 4_000_000


class Simulated:
    """A host of two cores on which a second passes with each reading, and others use what a test says."""

    def __init__(self, cores_used: Sequence[float], then: float = 0.0, steal: float = 0.0) -> None:
        self._used: Iterator[float] = chain(cores_used, repeat(then))
        self._steal = steal
        self.at_s = 0.0
        self._burnt_s = 0.0

    def read(self) -> CpuReading | None:
        self.at_s += 1
        self._burnt_s += next(self._used)
        ours_s = self.at_s  # one core is kept busy by the client, whatever others do
        processes = {
            os.getpid(): ProcessTime(parent=1, name="client", own_s=ours_s, reaped_s=0.0),
            BURNER: ProcessTime(parent=1, name="burner", own_s=self._burnt_s, reaped_s=0.0),
        }
        busy_s, steal_s = ours_s + self._burnt_s, self._steal * 2 * self.at_s
        return CpuReading(self.at_s, 2, 2 * self.at_s, busy_s, steal_s, processes)


def watch(host: Simulated, rule: QuietRule = RULE, **more: object) -> HostWatch:
    return HostWatch(host, "require", rule=rule, every_s=0.001, **more)  # type: ignore[arg-type]


def test_rounds_begin_when_the_host_was_quiet_for_long_enough() -> None:
    lines: list[str] = []
    host = Simulated([])
    watch(host).await_quiet(lines.append)
    assert host.at_s == 11, "ten seconds lie between the first reading and the last one"
    assert lines == [], "nothing was waited for but time"


def test_a_host_that_was_watched_all_along_is_not_waited_for() -> None:
    host = Simulated([])
    watching = watch(host)
    for _ in range(12):
        watching._look()
    watching.await_quiet(pytest.fail)
    assert host.at_s == 13


def test_a_busy_host_is_waited_for_and_who_keeps_it_so_is_named() -> None:
    lines: list[str] = []
    host = Simulated([1.0] * 20)
    watch(host).await_quiet(lines.append)
    assert host.at_s == pytest.approx(30, abs=1), "ten quiet seconds after the last busy one, but for 5 %"
    (line,) = lines
    assert line.startswith("waiting up to 60 s for a quiet host: others used 50.0% of its 2 cores")
    assert line.endswith("; process 4000000 (burner, 1.00 cores)")


def test_a_host_that_stays_busy_is_called_so() -> None:
    watching = watch(Simulated([], then=0.4), NO_PATIENCE)
    for _ in range(12):
        watching._look()
    with pytest.raises(HostBusy, match=r"they used 20\.0% of its 2 cores in the last 10\.0 s") as raised:
        watching.await_quiet(lambda _line: None)
    assert raised.value.where == "process 4000000 (burner, 0.40 cores)"


def test_time_that_other_machines_take_is_waited_for_as_well() -> None:
    watching = watch(Simulated([], steal=0.08), NO_PATIENCE)
    for _ in range(12):
        watching._look()
    with pytest.raises(HostBusy, match="other machines 8% of their time"):
        watching.await_quiet(lambda _line: None)


def test_a_process_of_somebody_else_on_a_gpu_is_waited_for() -> None:
    there = [("process 7 (train)",), ("process 7 (train)",)]
    lines: list[str] = []
    watching = watch(Simulated([]), strangers=lambda: there.pop() if there else ())
    watching.await_quiet(lines.append)
    assert lines == ["waiting up to 60 s for a quiet host: others compute on its GPUs; process 7 (train)"]


def test_a_host_that_need_not_be_quiet_is_not_waited_for() -> None:
    host = Simulated([], then=2.0)
    HostWatch(host, "record", rule=NO_PATIENCE).await_quiet(pytest.fail)


def test_a_round_has_the_load_of_its_own_time() -> None:
    watching = watch(Simulated([2.0, 2.0, 0.0, 0.0, 0.5]))
    for _ in range(2):
        watching._look()
    watching.begin_round()
    begin_s = watching._readings[-1].at_s
    watching._look()  # the thread takes none meanwhile; readings between do not matter
    found = watching.end_round(begin_s)
    assert found is not None
    assert found.share == pytest.approx(0.5 / 4)


def test_nothing_is_read_while_a_round_is_timed() -> None:
    host = Simulated([])
    watching = watch(host)
    with watching.running():
        watching.begin_round()
        during = host.at_s
        while watching._end.wait(0.02):
            pytest.fail("it has ended")
        assert host.at_s <= during + 1, "a reading that had begun before may still end"
        watching.end_round(during)
        while host.at_s < during + 5:
            pass


def test_load_that_nobody_can_attribute_is_absent_and_waited_for_by_nobody() -> None:
    watching = HostWatch(Unattributable(), "require", rule=NO_PATIENCE)
    watching.await_quiet(pytest.fail)
    watching.begin_round()
    assert watching.end_round(0.0) is None


def test_a_round_that_is_too_short_says_nothing_of_servers_that_were_asked_just_before() -> None:
    short, long = 0.1, 0.9
    for took_s, share in ((short, 0.0), (long, 0.5)):
        watching = watch(Simulated([]))
        watching.begin_round()
        begin_s = watching._readings[-1].at_s + 1 - took_s
        found = watching.end_round(begin_s, {os.getpid()})
        assert found is not None
        assert found.share == pytest.approx(share), "our own core is that of the side that is idle now"
