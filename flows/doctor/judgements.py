"""Judgements of a host by its facts. Pure: nothing is probed here."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from artifacts.hosts import Fits, HostFacts, fits, gpus_in_words
from engine_specs.tables import Target
from flows.doctor.check import Check
from flows.stack.components.schedule import NextRun
from tasks.hosts import host_requirements

GIB = 1 << 30
# Four CPU toolchains take 6.3 GB; the stack and a small build take some more.
_DISK_ENOUGH_BYTES = 15 * GIB
_DISK_LEAST_BYTES = 3 * GIB
# The reference and the engine are up at once while they are measured.
_MEMORY_ENOUGH_BYTES = 8 * GIB
_MEMORY_LEAST_BYTES = 3 * GIB
# torch passes tensors between processes through /dev/shm; containers often have 64 MB.
_SHM_ENOUGH_BYTES = 256 << 20
_CLOCK_TOLERANCE = timedelta(minutes=5)


def judge_python(version: tuple[int, int], executable: str) -> Check:
    """Judge the interpreter of this program."""
    found = f"Python {version[0]}.{version[1]} ({executable})"
    if (3, 11) <= version <= (3, 13):
        return Check(group="host", name="python", outcome="ok", found=found)
    return Check(
        group="host", name="python", outcome="fail", found=found, remedy="install Python 3.11, 3.12 or 3.13"
    )


def judge_compiler(program: str | None, problem: str) -> Check:
    """Judge the C++ compiler by its attempt to make a shared object; `problem` is empty if it worked."""
    if program is None:
        return Check(
            group="host",
            name="compiler",
            outcome="fail",
            found="no g++",
            remedy="sudo apt-get install -y g++",
        )
    if problem:
        return Check(
            group="host",
            name="compiler",
            outcome="fail",
            found=f"{program} makes no working shared object: {problem}",
            remedy="sudo apt-get install -y g++ libc6-dev",
        )
    return Check(group="host", name="compiler", outcome="ok", found=f"{program} makes shared objects")


def judge_disk(use: str, path: str, free_bytes: int) -> Check:
    """Judge the free space at a directory, given its use."""
    return _amount(
        name=f"disk for {use}",
        found=f"{free_bytes / GIB:.1f} GiB free at {path}",
        amount=free_bytes,
        least=_DISK_LEAST_BYTES,
        enough=_DISK_ENOUGH_BYTES,
        remedy=f"have at least {_DISK_ENOUGH_BYTES // GIB} GiB free there, or point ENGINERY_HOME,"
        " ENGINERY_CACHE_DIR and ENGINERY_TOOLCHAINS_DIR elsewhere",
    )


def judge_memory(available_bytes: int) -> Check:
    """Judge the memory that programs can still get."""
    return _amount(
        name="memory",
        found=f"{available_bytes / GIB:.1f} GiB available",
        amount=available_bytes,
        least=_MEMORY_LEAST_BYTES,
        enough=_MEMORY_ENOUGH_BYTES,
        remedy=f"end other programs, or use a host with {_MEMORY_ENOUGH_BYTES // GIB} GiB available",
    )


def judge_shared_memory(free_bytes: int | None) -> Check:
    """Judge the memory that processes can share; None if the host has no such device."""
    if free_bytes is None:
        return Check(
            group="host",
            name="shared memory",
            outcome="warn",
            found="no /dev/shm",
            remedy="mount a tmpfs there; containers: --shm-size=1g",
        )
    return _amount(
        name="shared memory",
        found=f"{free_bytes / (1 << 20):.0f} MiB free in /dev/shm",
        amount=free_bytes,
        least=0,
        enough=_SHM_ENOUGH_BYTES,
        remedy="enlarge /dev/shm; containers: --shm-size=1g",
    )


def judge_clock(now: datetime, newest_file: datetime) -> Check:
    """Judge the clock by the newest file of this installation, which cannot be from the future."""
    found = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now + _CLOCK_TOLERANCE >= newest_file:
        return Check(group="host", name="clock", outcome="ok", found=found)
    return Check(
        group="host",
        name="clock",
        outcome="fail",
        found=f"{found}, before this program was installed ({newest_file:%Y-%m-%d %H:%M:%S} UTC)",
        remedy="set the clock: S3 refuses requests that are signed with a wrong time",
    )


def judge_cpu(facts: HostFacts, targets: Collection[Target]) -> Check:
    """Judge which CPU targets this host can build and serve."""
    fitting = [target.name for target in targets if target.gpu is None and _fits(target, facts)]
    if fitting:
        return Check(group="host", name="cpu", outcome="ok", found=f"serves targets {', '.join(fitting)}")
    return Check(
        group="host",
        name="cpu",
        outcome="fail",
        found=f"{facts.machine}, which fits none of the targets",
        remedy="use an x86-64 host with at least SSE4.2; `enginery targets list` shows what each requires",
    )


def judge_port(use: str, port: int, free: bool, ours: bool) -> Check:
    """Judge a port that the local stack uses by default."""
    name = f"port {port}"
    if ours:
        return Check(group="host", name=name, outcome="ok", found=f"used by the local stack's {use}")
    if free:
        return Check(group="host", name=name, outcome="ok", found=f"free for the {use}")
    return Check(
        group="host",
        name=name,
        outcome="warn",
        found="taken by another program",
        remedy=f"none needed: `enginery up` chooses another port for the {use} and says which",
    )


def judge_service(name: str, place: str, problem: str, remedy: str) -> Check:
    """Judge a service that was asked to answer; `problem` is empty if it did."""
    if not problem:
        return Check(group="services", name=name, outcome="ok", found=f"{place} answers")
    return Check(group="services", name=name, outcome="warn", found=problem, remedy=remedy)


def judge_schedule(nightly: NextRun) -> Check:
    """Judge by the next run of `nightly` whether Prefect's scheduler creates runs."""
    if nightly.time is not None:
        found = f"the next nightly run starts {nightly.time:%Y-%m-%d %H:%M} UTC"
        return Check(group="services", name="schedule", outcome="ok", found=found)
    return Check(
        group="services",
        name="schedule",
        outcome="warn",
        found=f"no nightly run will start: {nightly.reason}",
        remedy="enginery up deploys it; the server log shows scheduler errors (`enginery status --json`)",
    )


def judge_hub_token(environ: Mapping[str, str], token_file_exists: bool) -> Check:
    """Report the Hub's token, which only gated and private repositories need."""
    if environ.get("HF_TOKEN"):
        found = "HF_TOKEN is set"
    elif token_file_exists:
        found = "a token is stored by the Hub's own login"
    else:
        found = "none: public repositories only; set HF_TOKEN for gated or private ones"
    return Check(group="services", name="hub token", outcome="ok", found=found)


def judge_toolchain(name: str, installed: bool, detail: str, remedy: str) -> Check:
    """Judge one toolchain; if it is not there yet, it is installed on first use."""
    if installed:
        return Check(group="toolchains", name=name, outcome="ok", found=detail)
    return Check(group="toolchains", name=name, outcome="warn", found=detail, remedy=remedy)


def judge_gpus(facts: HostFacts, targets: Collection[Target]) -> Check:
    """Judge the GPUs of this host by the targets that they fit, or say why there is none."""
    if not facts.gpus:
        return Check(
            group="gpu",
            name="devices",
            outcome="warn",
            found=gpus_in_words(facts),
            remedy="CPU engines need none; GPU engines need a host with an NVIDIA GPU and its driver",
        )
    fitting = [target.name for target in targets if target.gpu and _fits(target, facts)]
    found = f"{gpus_in_words(facts)}, driver {facts.driver}"
    if fitting:
        return Check(group="gpu", name="devices", outcome="ok", found=f"{found}: {', '.join(fitting)}")
    remedy = "`enginery targets list` shows the GPUs that engines are built for; a target is a row of data"
    return Check(
        group="gpu", name="devices", outcome="warn", found=f"{found}: fits none of the targets", remedy=remedy
    )


def _fits(target: Target, facts: HostFacts) -> bool:
    return isinstance(fits(host_requirements(target), facts), Fits)


def _amount(*, name: str, found: str, amount: int, least: int, enough: int, remedy: str) -> Check:
    outcome = "ok" if amount >= enough else "warn" if amount >= least else "fail"
    return Check(
        group="host", name=name, outcome=outcome, found=found, remedy="" if outcome == "ok" else remedy
    )
