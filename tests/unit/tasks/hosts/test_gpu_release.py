"""A GPU's memory must really be free before the next server starts."""

import pytest
from support.standin.nvml import Recorded, gpu, reading

from tasks.errors import GpuNotReleased
from tasks.hosts import await_released, memory_in_use

ONE, OTHER = gpu(index=0), gpu(index=1)


def test_it_waits_until_no_more_is_in_use_than_before() -> None:
    reader = Recorded({ONE.uuid: [reading(12), reading(6), reading(1.2)], OTHER.uuid: [reading(0)]})
    await_released((ONE, OTHER), {ONE.uuid: 1 << 30, OTHER.uuid: 0}, reader, limit_s=10)
    assert reader.asked.count(ONE.uuid) == 3


def test_memory_that_stays_ends_with_the_process_that_holds_it() -> None:
    reader = Recorded({ONE.uuid: [reading(12, (4242, 11.5))]})
    with pytest.raises(GpuNotReleased, match="still in use 0 s after its server has ended") as caught:
        await_released((ONE,), {ONE.uuid: 1 << 30}, reader, limit_s=0)
    assert caught.value.where == ("GPU 0 (NVIDIA H200): 11.8 GB held by process 4242 (python3, 12.3 GB)")
    assert "finished phases are reused" in caught.value.fix


def test_a_holder_that_the_driver_does_not_list_is_said_to_be_one() -> None:
    with pytest.raises(GpuNotReleased, match="processes that the driver does not list"):
        await_released((ONE,), {ONE.uuid: 0}, Recorded({ONE.uuid: [reading(12)]}), limit_s=0)


def test_a_driver_that_does_not_say_is_not_waited_for() -> None:
    silent = Recorded({ONE.uuid: [reading(None)]})
    assert memory_in_use((ONE, OTHER), silent) == {}
    await_released((ONE, OTHER), {}, silent, limit_s=0)
