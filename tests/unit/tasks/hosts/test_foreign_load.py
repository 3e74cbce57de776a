"""What others used of the processors: busy time less that of some families, and who used most."""

import pytest

from tasks.hosts.cpu_readings import CpuReading, ProcessTime
from tasks.hosts.foreign_load import ForeignLoad, families_in, foreign_load

CLIENT, SERVER, WORKER, BURNER = 10, 20, 21, 99


def reading(at_s: float, busy_s: float, steal_s: float = 0.0, **own_s: float) -> CpuReading:
    """A reading of a host with two cores: a client, its server with a worker, and somebody else's process."""
    parents = {
        "client": (CLIENT, 1),
        "server": (SERVER, CLIENT),
        "worker": (WORKER, SERVER),
        "burner": (BURNER, 1),
    }
    processes = {
        parents[name][0]: ProcessTime(parent=parents[name][1], name=name, own_s=used, reaped_s=0.0)
        for name, used in own_s.items()
    }
    return CpuReading(at_s, 2, 2 * at_s, busy_s, steal_s, processes)


def load(before: CpuReading, after: CpuReading) -> ForeignLoad:
    found = foreign_load(before, after, {CLIENT})
    assert found is not None
    return found


def test_what_servers_and_client_use_is_not_foreign() -> None:
    before = reading(100, 50, client=5, server=20, worker=10, burner=3)
    after = reading(110, 61, client=6, server=25, worker=14, burner=3.5)
    found = load(before, after)
    assert found.share == pytest.approx(1 / 20), "a second of it is nobody's here: the kernel's own"
    assert found.busiest == ("process 99 (burner, 0.05 cores)",)


def test_one_busy_core_of_somebody_else_is_half_of_two_and_is_named() -> None:
    before = reading(100, 50, client=5, server=20, worker=10, burner=3)
    after = reading(110, 68, client=6, server=24, worker=13, burner=13)
    found = load(before, after)
    assert found.share == pytest.approx(0.5)
    assert found.busiest == ("process 99 (burner, 1.00 cores)",)


def test_a_process_of_ours_that_has_ended_is_counted_once() -> None:
    before = reading(100, 50, client=5, server=20, worker=30)
    after = reading(110, 55, client=6, server=21)
    waited = ProcessTime(parent=CLIENT, name="server", own_s=21, reaped_s=33)
    after.processes[SERVER] = waited  # type: ignore[index]
    assert load(before, after).share == 0.0, "1 s by the client, 1 by the server, 3 by its worker's end"


def test_a_process_of_ours_that_began_meanwhile_counts_from_its_beginning() -> None:
    found = load(reading(100, 50, client=5), reading(110, 56, client=6, server=4, worker=1))
    assert found.share == 0.0


def test_what_other_machines_got_is_a_share_of_all_time() -> None:
    found = load(reading(100, 50, client=5), reading(110, 51, steal_s=2, client=6))
    assert (found.share, found.steal) == (0.0, pytest.approx(0.1))


def test_two_looks_at_one_time_say_nothing() -> None:
    assert foreign_load(reading(100, 50), reading(100, 50), {CLIENT}) is None


def test_families_hold_all_descendants_of_processes_that_run() -> None:
    processes = reading(1, 1, client=1, server=1, worker=1, burner=1).processes
    assert families_in(processes, {CLIENT}) == {CLIENT, SERVER, WORKER}
    assert families_in(processes, {SERVER, 4_000}) == {SERVER, WORKER}


def test_a_server_of_ours_that_is_not_asked_is_one_of_the_others() -> None:
    before = reading(100, 50, client=5, server=20, worker=10)
    after = reading(110, 64, client=6, server=24, worker=19)
    assert load(before, after).share == 0.0
    found = foreign_load(before, after, {CLIENT}, {SERVER})
    assert found is not None
    assert found.share == pytest.approx(13 / 20), "the server, and its worker"
    assert found.busiest == ("process 21 (worker, 0.90 cores)", "process 20 (server, 0.40 cores)")
