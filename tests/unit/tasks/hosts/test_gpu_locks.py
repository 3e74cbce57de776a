"""Whose turn it is on a GPU: real locks, real threads and processes, GPUs by injected facts."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.programs.processes import wait_until
from support.servers.intruder import as_nobody
from support.standin.nvml import Recorded, gpu, reading

from artifacts.hosts import HostFacts
from engine_specs.tables import load_targets
from tasks.errors import GpusUnavailable
from tasks.hosts import GpuNeed, HeldGpus, free_gpus, gpu_locks, locked_by_a_job
from tasks.hosts.gpu_locks import held_gpus, visible_gpus

PAIR = (gpu(index=0), gpu(index=1))
# The driver's order is not the order of the UUIDs.
CROSSED = tuple(
    one.model_copy(update={"uuid": other.uuid}) for one, other in zip(PAIR, PAIR[::-1], strict=True)
)
OWNER = """
import subprocess, sys
from pathlib import Path
from artifacts.hosts.host_match import HostFacts
from tasks.hosts.gpu_locks import GpuNeed, held_gpus
locks, facts = Path(sys.argv[1]), HostFacts.model_validate_json(sys.argv[2])
with held_gpus(GpuNeed(2), facts, locks, say=print, environ={}) as held:
    child = subprocess.Popen(["sleep", "60"], pass_fds=held.descriptors)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def facts(*gpus: object) -> HostFacts:
    return HostFacts.model_validate(
        {"machine": "x86_64", "cpu_features": (), "gpus": gpus or PAIR, "driver": "580.95.05"}
    )


class Taker:
    """A thread that takes GPUs, and gives them back when it is asked to."""

    def __init__(self, locks: Path, count: int, order: list[str], name: str) -> None:
        self.waits: list[str] = []
        self._give_back = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(locks, count, order, name))
        self._thread.start()

    def _run(self, locks: Path, count: int, order: list[str], name: str) -> None:
        with held_gpus(GpuNeed(count), facts(), locks, say=self.waits.append, environ={}):
            order.append(name)
            assert self._give_back.wait(30)

    def give_back(self) -> None:
        self._give_back.set()
        self._thread.join()


def ignore(line: str) -> None:
    """Take a line of progress and do nothing."""


def test_a_process_is_shown_the_gpus_that_are_held_by_their_numbers(tmp_path: Path) -> None:
    with held_gpus(GpuNeed(2), facts(), tmp_path, say=ignore, environ={}) as held:
        assert held.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0,1"}
        assert len(held.descriptors) == 2
    assert HeldGpus().env == {}


def test_gpus_are_taken_in_the_order_of_their_uuids(tmp_path: Path) -> None:
    with held_gpus(GpuNeed(1), facts(*CROSSED), tmp_path, say=ignore, environ={}) as held:
        assert held.gpus[0].index == 1
        with held_gpus(GpuNeed(1), facts(*CROSSED), tmp_path, say=ignore, environ={}) as other:
            assert other.gpus[0].index == 0


def test_the_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    order: list[str] = []
    first = Taker(tmp_path, 2, order, "first")
    wait_until(lambda: order == ["first"])
    second = Taker(tmp_path, 1, order, "second")
    wait_until(lambda: second.waits == ["waiting for GPUs: 0 of 1 are free"])
    assert order == ["first"]
    first.give_back()
    wait_until(lambda: order == ["first", "second"])
    second.give_back()


def test_one_that_needs_many_is_not_overtaken_by_those_that_need_few(tmp_path: Path) -> None:
    order: list[str] = []
    one = Taker(tmp_path, 1, order, "one")
    wait_until(lambda: order == ["one"])
    many = Taker(tmp_path, 2, order, "many")
    wait_until(lambda: many.waits == ["waiting for GPUs: 1 of 2 are free"])
    late = Taker(tmp_path, 1, order, "late")
    wait_until(lambda: late.waits == ["waiting for GPUs: another job is taking some"])
    one.give_back()
    wait_until(lambda: order == ["one", "many"])
    many.give_back()
    wait_until(lambda: order == ["one", "many", "late"])
    late.give_back()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds both GPUs with a child that computes on them; its process and the child's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "locks"), facts().model_dump_json()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe
        pipe.close()


def test_a_killed_owner_leaves_its_gpus_when_its_child_is_gone(
    owner: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    process, child = owner
    process.kill()
    process.wait()
    order: list[str] = []
    heir = Taker(tmp_path / "locks", 2, order, "heir")
    wait_until(lambda: heir.waits == ["waiting for GPUs: 0 of 2 are free"])
    assert order == []
    os.kill(child, 9)
    wait_until(lambda: order == ["heir"])
    heir.give_back()


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        (None, [0, 1]),
        ("1", [1]),
        ("1,0", [0, 1]),
        (PAIR[1].uuid, [1]),
        ("GPU-00000000", [0]),
        ("", []),
        ("-1", []),
        ("7", []),
    ],
)
def test_gpus_that_are_hidden_from_us_are_left_alone(value: str | None, indices: list[int]) -> None:
    environ = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert [one.index for one in visible_gpus(PAIR, environ)] == indices


def test_gpus_of_another_product_are_left_alone(tmp_path: Path) -> None:
    mixed = facts(gpu("NVIDIA L40S", 0, "8.9"), gpu("NVIDIA H200", 1))
    need = GpuNeed(1, ("NVIDIA H200",))
    with held_gpus(need, mixed, tmp_path, say=ignore, environ={}) as held:
        assert held.env["CUDA_VISIBLE_DEVICES"] == "1"


def test_what_a_host_never_has_is_refused_at_once(tmp_path: Path) -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": "0"}
    names = load_targets()["h200"].gpu
    assert names
    with (
        pytest.raises(GpusUnavailable) as caught,
        held_gpus(GpuNeed(2, names.product_names), facts(), tmp_path, say=ignore, environ=hidden),
    ):
        pytest.fail("GPUs that are hidden were handed out")
    assert caught.value.what == "2 x NVIDIA H200 are needed at once"
    assert "2 x NVIDIA H200 (compute capability 9.0), of which CUDA_VISIBLE_DEVICES allows 1" in str(
        caught.value
    )
    assert caught.value.failure == "unsupported"


def test_servers_share_what_is_held_for_all(tmp_path: Path) -> None:
    four = facts(*(gpu(index=index) for index in range(4)))
    with held_gpus(GpuNeed(3), four, tmp_path, say=ignore, environ={}) as held:
        engine, cpu, vllm = held.shares([2, 0, 1])
        assert engine.env["CUDA_VISIBLE_DEVICES"] == "0,1"
        assert vllm.env["CUDA_VISIBLE_DEVICES"] == "2"
        assert (cpu.env, cpu.descriptors) == ({}, ())
        assert engine.descriptors == vllm.descriptors == held.descriptors
        whole, part = held.same([3, 1])
        assert whole.env["CUDA_VISIBLE_DEVICES"] == "0,1,2"
        assert part.env["CUDA_VISIBLE_DEVICES"] == "0"


TAKEN = Recorded({PAIR[0].uuid: [reading(12, (4242, 11.5))], PAIR[1].uuid: [reading(0.4)]})


def test_a_gpu_that_somebody_else_computes_on_is_left_alone(tmp_path: Path) -> None:
    with held_gpus(GpuNeed(1), facts(), tmp_path, say=ignore, environ={}, reader=TAKEN) as held:
        assert [one.index for one in held.gpus] == [1]
        assert not locked_by_a_job(PAIR[0], tmp_path)
        assert locked_by_a_job(PAIR[1], tmp_path)
    free, busy = free_gpus(GpuNeed(1), facts(), environ={}, reader=TAKEN)
    assert [one.index for one in free] == [1]
    assert busy == ("GPU 0 (NVIDIA H200), 12.9 GB in use by process 4242 (python3, 12.3 GB)",)
    assert free_gpus(GpuNeed(1), facts(), environ={}, reader=TAKEN, ours=lambda _gpu: True) == (PAIR, ())


def test_somebody_else_on_too_many_gpus_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_locks, "BUSY_PATIENCE_S", 0.5)
    waits: list[str] = []
    with (
        pytest.raises(
            GpusUnavailable, match="2 GPUs are needed, and processes that are not of this"
        ) as caught,
        held_gpus(GpuNeed(2), facts(), tmp_path, say=waits.append, environ={}, reader=TAKEN),
    ):
        pytest.fail("a GPU that is in use was handed out")
    assert "process 4242 (python3, 12.3 GB)" in str(caught.value)
    assert len(waits) == 1
    assert "1 of 2 are free; GPU 0" in waits[0]


def test_memory_of_processes_that_are_not_listed_counts(tmp_path: Path) -> None:
    unlisted = Recorded({PAIR[0].uuid: [reading(20)]})
    _, busy = free_gpus(GpuNeed(1), facts(), environ={}, reader=unlisted)
    assert busy == ("GPU 0 (NVIDIA H200), 21.5 GB in use by processes that the driver does not list",)


def test_a_gpu_that_was_just_left_is_waited_for(tmp_path: Path) -> None:
    leaving = Recorded({PAIR[0].uuid: [reading(12, (4242, 11.5)), reading(0)]})
    waits: list[str] = []
    with held_gpus(
        GpuNeed(1), facts(PAIR[0]), tmp_path, say=waits.append, environ={}, reader=leaving
    ) as held:
        assert [one.index for one in held.gpus] == [0]
    assert len(waits) == 1


def test_a_gpu_that_was_just_left_is_free_for_who_is_patient(tmp_path: Path) -> None:
    """The next stage looks for free GPUs right after the server of the one before it has ended."""
    one = facts(PAIR[0])
    for patience_s, free in ((0.0, ()), (gpu_locks.BUSY_PATIENCE_S, (PAIR[0],))):
        leaving = Recorded({PAIR[0].uuid: [reading(130, (4242, 129.0)), reading(130), reading(0)]})
        found, _ = free_gpus(GpuNeed(1), one, environ={}, reader=leaving, patience_s=patience_s)
        assert found == free
    assert free_gpus(GpuNeed(1), one, environ={}, reader=TAKEN, patience_s=0.1)[0] == ()


def test_locks_that_another_user_made_are_taken_in_turn() -> None:
    """In a directory like /tmp, where Linux refuses O_CREAT for files of others, and with a usual umask."""
    with TemporaryDirectory() as name:
        locks = Path(name)
        locks.chmod(0o1777)
        with held_gpus(GpuNeed(2), facts(), locks, say=ignore, environ={}):
            for made in locks.iterdir():
                made.chmod(0o444)
            assert as_nobody(lambda: [locked_by_a_job(one, locks) for one in PAIR]) == [True, True]

        def taken() -> int:
            with held_gpus(GpuNeed(2), facts(), locks, say=ignore, environ={}) as held:
                return len(held.gpus)

        assert as_nobody(taken) == 2


def test_mig_slices_are_named_as_unsupported(tmp_path: Path) -> None:
    divided = facts(PAIR[0].model_copy(update={"mig": True}))
    slices = {"CUDA_VISIBLE_DEVICES": "MIG-9c9b3d9a"}
    for environ, said in (({}, "divided into MIG slices"), (slices, "; MIG slices are unsupported")):
        with (
            pytest.raises(GpusUnavailable, match=said),
            held_gpus(GpuNeed(1), divided, tmp_path, say=ignore, environ=environ),
        ):
            pytest.fail("a slice was handed out")
