"""Peak memory by side, and lowered clocks during rounds, from recorded readings."""

import itertools
import os
from collections.abc import Callable
from time import perf_counter

from support.standin.nvml import Recorded, gpu, reading

from artifacts.hosts import GpuProcess, GpuReading
from tasks.hosts import GpuWatch
from tasks.hosts.gpu_watch import Peak

ONE, OTHER = gpu(index=0), gpu(index=1)
GIB = 2**30
# A child of this process's own, and one that is nobody's here.
OURS, THEIRS = os.getpid(), 4_000_000


def watched(*readings: object, gpus: tuple[str, ...] = (ONE.uuid,), alone: bool = True) -> Peak:
    """The peak of a side, one look per reading; the last is made when it ends."""
    watch = GpuWatch(Recorded({ONE.uuid: readings}))  # type: ignore[dict-item]
    with watch.side("engine", gpus, OURS, alone=alone):
        for _ in readings[1:]:
            watch._look()
    return watch.peaks()["engine"]


def test_memory_counts_by_process_where_the_driver_names_them() -> None:
    peak = watched(
        reading(9, (OURS, 3.0), (THEIRS, 5.0)),
        reading(9, (OURS, 4.0), (THEIRS, 5.0)),
        reading(8, (OURS, 2.0)),
    )
    assert peak == Peak(4 * GIB, "process")


def test_it_counts_by_device_where_a_side_has_it_to_itself() -> None:
    assert watched(reading(6), reading(7), reading(5)) == Peak(7 * GIB, "device")


def test_on_a_shared_device_it_is_absent_unless_the_driver_names_processes() -> None:
    assert watched(reading(6), reading(7), alone=False) == Peak(None, None)
    assert watched(reading(6), reading(7, (OURS, 3.0)), alone=False) == Peak(3 * GIB, "process")


def test_a_process_whose_memory_is_unknown_is_absent_and_not_zero() -> None:
    assert watched(reading(None, (OURS, None))) == Peak(None, None)


def test_the_fullest_device_counts() -> None:
    readings = {ONE.uuid: [reading(3)], OTHER.uuid: [reading(5)]}
    watch = GpuWatch(Recorded(readings))
    with watch.side("vllm", (ONE.uuid, OTHER.uuid), OURS, alone=True):
        pass
    assert watch.peaks()["vllm"].bytes == 5 * GIB


def test_a_side_on_the_processor_has_no_peak() -> None:
    reader = Recorded({})
    watch = GpuWatch(reader, every_s=0.01)
    with watch.running(), watch.side("engine", (), OURS, alone=True):
        assert watch.throttled("engine", 0.0, perf_counter()) == ()
    assert (watch.peaks(), reader.asked) == ({}, [])


def by_round(
    readings: list[GpuReading], ask: Callable[[GpuWatch, str, float, float], tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """What a watch answers for each of as many rounds as there are readings, one look in each."""
    watch = GpuWatch(Recorded({ONE.uuid: readings}))
    with watch.side("engine", (ONE.uuid,), OURS, alone=True):
        times = [perf_counter()]
        for _ in readings:
            watch._look()
            times.append(perf_counter())
        return [ask(watch, "engine", begin, end) for begin, end in itertools.pairwise(times)]


def test_clocks_count_in_the_round_in_which_they_were_lowered() -> None:
    readings = [reading(1), reading(1, throttled="power cap"), reading(1)]
    assert by_round(readings, GpuWatch.throttled) == [(), ("power cap",), ()]


def test_a_round_without_a_look_is_looked_at_when_it_ends() -> None:
    watch = GpuWatch(Recorded({ONE.uuid: [reading(1, throttled="temperature")]}))
    with watch.side("engine", (ONE.uuid,), OURS, alone=True):
        begin = perf_counter()
        assert watch.throttled("engine", begin, perf_counter()) == ("temperature",)


def test_somebody_elses_process_counts_in_the_round_in_which_it_computed() -> None:
    readings = [reading(1, (OURS, 1.0)), reading(3, (OURS, 1.0), (THEIRS, 2.0)), reading(1, (OURS, 1.0))]
    assert by_round(readings, GpuWatch.strangers) == [(), ("process 4000000 (python3, 2.1 GB)",), ()]


def test_who_computes_on_the_gpus_now_is_asked_now() -> None:
    watch = GpuWatch(Recorded({ONE.uuid: [reading(3, (THEIRS, None)), reading(0)]}))
    assert watch.strangers_now() == (), "no side is up, so no GPU is looked at"
    with watch.side("engine", (ONE.uuid,), OURS, alone=True):
        assert watch.strangers_now() == ("process 4000000 (python3)",)
        assert watch.strangers_now() == ()


def test_a_process_that_is_not_visible_from_here_may_be_one_of_ours() -> None:
    hidden = GpuProcess(pid=THEIRS, name="", used_bytes=None)
    watch = GpuWatch(Recorded({ONE.uuid: [GpuReading(processes=(hidden,))]}))
    with watch.side("engine", (ONE.uuid,), OURS, alone=True):
        assert watch.strangers_now() == ()


def test_the_thread_looks_by_itself() -> None:
    reader = Recorded({ONE.uuid: [reading(2)]})
    watch = GpuWatch(reader, every_s=0.001)
    with watch.running(), watch.side("engine", (ONE.uuid,), OURS, alone=True):
        while len(reader.asked) < 3:
            pass
    assert watch.peaks()["engine"] == Peak(2 * GIB, "device")
