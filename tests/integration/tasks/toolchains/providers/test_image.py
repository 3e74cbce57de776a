"""Toolchains in images, with a strict stand-in of podman and docker; its containers are not its children."""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from support.paths import TESTS
from support.programs.processes import alive, parent_of, wait_until

from artifacts.hosts import ServeCommand
from tasks.errors import ToolchainUnavailable, WorkerFailed
from tasks.toolchains import NotInstalled, Toolchain, serving
from tasks.toolchains.providers.image import ImageProvider

IMAGE = f"registry.example/tiny@sha256:{'c' * 64}"
STAND_IN = TESTS / "support" / "standin" / "container_client.py"
SERVER = Path(__file__).parents[1] / "run" / "workers" / "small_server.py"
PROVIDER = ImageProvider()


@pytest.fixture(params=["podman", "docker"])
def client(request, tmp_path, monkeypatch) -> Iterator[Path]:
    """One of the clients on PATH, and its daemon."""
    address = tmp_path / "s"
    daemon = subprocess.Popen(
        [sys.executable, "-I", "-S", str(STAND_IN), "--daemon", str(address)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert daemon.stdout.readline() == "ready\n"
    path = tmp_path / "clients" / request.param
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {STAND_IN} {request.param} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{address}")
    monkeypatch.setenv("NOT_FOR_TOOLS", "hidden")
    yield path
    for name in running(path):
        subprocess.run(
            [path, "rm", "--force", *(("--ignore", "--time", "0") if request.param == "podman" else ()), name]
        )
    daemon.terminate()
    daemon.wait()


def running(client: Path) -> list[str]:
    command = [client, "ps", "--all", "--filter", f"name=^enginery-{os.getuid()}-", "--format", "{{.Names}}"]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.split()


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory) -> Path:
    """The image's: it has packaging alone, as all that an interpreter has is read in each test."""
    root = tmp_path_factory.mktemp("interpreter")
    venv.create(root, symlinks=True, with_pip=False)
    site_packages = root / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for name in {Path(file).parts[0] for file in distribution("packaging").files}:
        shutil.copytree(distribution("packaging").locate_file(name), site_packages / name)
    return root / "bin" / "python"


@pytest.fixture
def table(client, interpreter) -> dict[str, str]:
    return {"image": IMAGE, "interpreter": str(interpreter)}


@pytest.fixture
def toolchain(wanted, table) -> Toolchain:
    return PROVIDER.ensure(wanted(table), print)


def test_an_image_is_pulled_and_looked_at_once(client, wanted, table):
    before = PROVIDER.status(wanted(table))
    assert isinstance(before, NotInstalled)
    assert before.obstacles == ()
    assert (before.reason, before.fix) == (
        f"{IMAGE} is not on this host yet",
        "enginery toolchain install tiny",
    )
    said = []
    found = PROVIDER.ensure(wanted(table), said.append)
    assert said == [
        f"tiny: pulling {IMAGE}",
        f"Pulled {IMAGE}",
        f"tiny: inspecting what {IMAGE} holds",
    ]
    again = []
    assert PROVIDER.ensure(wanted(table), again.append) == PROVIDER.status(wanted(table)) == found
    assert again == []
    assert (found.provider, found.place, found.adopted) == ("image", IMAGE, True)
    assert found.versions["packaging"] == version("packaging")
    assert "no-such-thing is missing (lock: 1.0)" in map(str, found.differences)
    assert running(client) == []


def test_the_digest_is_the_identity(wanted, table, toolchain):
    other = IMAGE.replace("c", "d")
    assert PROVIDER.ensure(wanted(table | {"image": other}), print).identity != toolchain.identity
    moved = "mirror.example/other-name@" + IMAGE.partition("@")[2]
    assert PROVIDER.ensure(wanted(table | {"image": moved}), print).identity == toolchain.identity


def test_interpreters_of_one_image_are_different_tools(wanted, table, interpreter, toolchain, tmp_path):
    by_another_name = str(interpreter.with_name("python3"))
    same = PROVIDER.ensure(wanted(table | {"interpreter": by_another_name}), print)
    assert same.identity == toolchain.identity
    second = shutil.copytree(interpreter.parents[1], tmp_path / "second", symlinks=True) / "bin" / "python"
    other = PROVIDER.ensure(wanted(table | {"interpreter": str(second)}), print)
    assert other.versions == toolchain.versions
    assert other.identity != toolchain.identity


def test_a_job_runs_with_its_own_variables_and_directories(client, toolchain, interpreter, job, tmp_path):
    metrics = job(toolchain).metrics
    assert (tmp_path / "out" / "made.txt").read_text() == "made"
    env = metrics["env"]
    assert env["CONTAINER_NETWORK"] == "none"
    assert env["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert env["HOME"] == str(toolchain.root)
    assert env["PATH"].startswith(f"{interpreter.parent}:")
    assert (env["DECLARED"], env["TMPDIR"]) == ("yes", metrics["cwd"])
    assert env.keys().isdisjoint({"NOT_FOR_TOOLS", "DOCKER_HOST"})
    assert running(client) == []


def test_a_time_limit_ends_the_container(client, toolchain, job):
    pids = []
    with pytest.raises(WorkerFailed, match="time limit"):
        job(toolchain, stay=True, time_limit_s=3.0, on_line=lambda line: note_pid(line, pids))
    assert not alive(pids[0])
    assert running(client) == []


def test_a_client_that_is_killed_takes_its_container_with_it(client, toolchain, job):
    pids = []

    def kill_client(line: str) -> None:
        if note_pid(line, pids):
            os.kill(the_client(), signal.SIGKILL)

    with pytest.raises(WorkerFailed, match="killed by SIGKILL"):
        job(toolchain, stay=True, on_line=kill_client)
    wait_until(lambda: not alive(pids[0]))
    wait_until(lambda: running(client) == [])


def test_a_supervisor_that_is_killed_leaves_no_container(client, toolchain, job):
    pids = []

    def kill_supervisor(line: str) -> None:
        if note_pid(line, pids):
            os.kill(parent_of(the_client()), signal.SIGKILL)

    with pytest.raises(WorkerFailed, match="supervisor of a worker was killed"):
        job(toolchain, stay=True, on_line=kill_supervisor)
    assert not alive(pids[0])
    assert running(client) == []


OWNER = """
import sys
from pathlib import Path
from tasks.toolchains import Worker, run_job
from tasks.toolchains.providers.image.launcher import ContainerLauncher
from tasks.toolchains.records import Toolchain
from tasks.workers.common.requests import Nothing, Request
launcher = ContainerLauncher.model_validate_json(sys.argv[1])
directory = Path(sys.argv[2])
toolchain = Toolchain(name="tiny", identity="0" * 64, versions={}, root=launcher.container.home,
                      python=Path(sys.executable), bin_dir=Path("/usr/bin"), launcher=launcher)
request = Request({"stay": True}, Nothing(), {}, directory / "out")
run_job(toolchain, Worker(module="worker", import_path=directory / "src"), request, log=directory / "log",
        on_line=lambda line: print(line, flush=True), time_limit_s=600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_container_outlives_an_owner_that_is_killed(client, toolchain, job, tmp_path, number):
    command = [sys.executable, "-c", OWNER, toolchain.launcher.model_dump_json(), str(tmp_path)]
    pids = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert any(note_pid(line, pids) for line in owner.stdout)
        assert alive(pids[0])
        owner.send_signal(number)
    wait_until(lambda: not alive(pids[0]))
    wait_until(lambda: running(client) == [])


def test_a_container_that_nobody_could_end_is_removed_by_the_next_who_asks(
    client, toolchain, job, tmp_path, wanted, table
):
    """The supervisor and its owner are killed at once, as a whole control group is."""
    command = [sys.executable, "-c", OWNER, toolchain.launcher.model_dump_json(), str(tmp_path)]
    pids = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert any(note_pid(line, pids) for line in owner.stdout)
        supervisor = parent_of(the_client())
        os.kill(owner.pid, signal.SIGSTOP)  # so that it does not end the container itself
        os.kill(supervisor, signal.SIGKILL)
        os.kill(owner.pid, signal.SIGKILL)
    assert alive(pids[0])
    (name,) = running(client)
    said = []
    PROVIDER.ensure(wanted(table), said.append)
    assert said == [f"tiny: removing {name}, whose owner is gone"]
    assert not alive(pids[0])
    assert running(client) == []


def test_a_server_answers_on_the_hosts_loopback_and_is_gone_afterwards(client, toolchain, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    shutil.copy(SERVER, tree)
    argv = ("{python}", "{tree}/small_server.py", "ready", "{host}", "{port}", "{model}")
    serve = ServeCommand(toolchain="tiny", argv=argv, env={"RECIPE_SAYS": "hello"}, model="small")
    lines: list[str] = []
    with serving(
        toolchain, serve, tree, log=tmp_path / "log", on_line=lines.append, ready_limit_s=30
    ) as server:
        with urllib.request.urlopen(f"{server.base_url}/health", timeout=10) as answer:
            assert answer.read() == b"hello"
        assert len(running(client)) == 1
        assert "--network host" in lines[0]
    assert running(client) == []


def test_another_version_of_the_tool_is_refused_with_found_and_wanted(client, wanted, table, tiny):
    tiny.lock_path.write_text("packaging==1.0\n")
    with pytest.raises(ToolchainUnavailable) as raised:
        PROVIDER.ensure(wanted(table), print)
    assert (
        raised.value.what == f"toolchain tiny needs packaging ==1.0, and {IMAGE} has {version('packaging')}"
    )


def test_programs_that_the_tool_works_with_have_to_be_in_the_image(client, wanted, table):
    with pytest.raises(ToolchainUnavailable, match=r"needs no-such-cc, and registry\.example") as raised:
        PROVIDER.ensure(wanted(table, programs={"sh": "dash", "no-such-cc": "gcc"}), print)
    assert "image that has it" in raised.value.fix


def test_without_a_client_the_fix_says_which(wanted, table, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = PROVIDER.status(wanted(table))
    assert "there is no podman or docker on PATH" in found.reason
    with pytest.raises(ToolchainUnavailable, match="no podman or docker"):
        PROVIDER.ensure(wanted(table), print)


def test_a_program_that_only_has_the_name_is_no_client(wanted, table, tmp_path):
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho 'containerd 2.0'\n")
    other.chmod(0o755)
    assert "it printed: containerd 2.0" in PROVIDER.status(wanted(table | {"client": str(other)})).reason


def test_the_stand_in_refuses_what_it_does_not_know(client):
    for extra in (
        ["--privileged"],
        ["--gpus", "all"] if client.name == "podman" else ["--userns", "keep-id"],
    ):
        done = subprocess.run([client, "run", *extra, IMAGE], text=True, capture_output=True)
        assert done.returncode == 2


def note_pid(line: str, pids: list[int]) -> bool:
    if line.startswith("pid "):
        pids.append(int(line.split()[1]))
        return True
    return False


def the_client() -> int:
    """The process of the client that runs a container."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    commands = {pid: command_of(pid) for pid in pids}
    (found,) = [pid for pid, said in commands.items() if "run --rm" in said and "supervisor.py" not in said]
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
