"""A real podman, with an image made on the spot of this host's shell; where podman can run one."""

import os
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.toolchains.launcher import Program
from tasks.toolchains.providers.image.commands import Client, Container, User
from tasks.toolchains.providers.image.launcher import ContainerLauncher, client_environment
from tasks.toolchains.run import Supervised

PODMAN = shutil.which("podman")
PROGRAMS = ("sh", "cat", "id", "sleep")


def why_not() -> str:
    """Why this machine cannot run one; empty if it can."""
    if PODMAN is None:
        return "there is no podman on PATH"
    done = subprocess.run([PODMAN, "info"], text=True, capture_output=True, timeout=60)
    return "" if done.returncode == 0 else f"podman info fails: {done.stderr.strip()[:200]}"


pytestmark = pytest.mark.skipif(bool(reason := why_not()), reason=reason or "podman works")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A root file system of four programs and their libraries, by its digest."""
    folder = tmp_path_factory.mktemp("image")
    archive, name = folder / "root.tar", f"localhost/enginery-{uuid.uuid4().hex[:12]}"
    with tarfile.open(archive, "w") as tar:
        for path in sorted(needed_files()):
            tar.add(path.resolve(), arcname=str(path).lstrip("/"))
    podman("import", str(archive), f"{name}:test")
    digest = podman("image", "inspect", "--format", "{{.Digest}}", f"{name}:test").strip()
    yield f"{name}@{digest}"
    podman("rmi", "--force", f"{name}:test")


def podman(*arguments: str) -> str:
    done = subprocess.run([str(PODMAN), *arguments], text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needed_files() -> set[Path]:
    programs = [Path(str(shutil.which(name))) for name in PROGRAMS]
    said = subprocess.run(["ldd", *programs], text=True, check=True, capture_output=True).stdout
    libraries = {Path(word) for word in said.split() if word.startswith("/") and not word.endswith(":")}
    return {*programs, *libraries}


@pytest.fixture
def launcher(image: str, tmp_path: Path) -> ContainerLauncher:
    home = tmp_path / "home"
    home.mkdir()
    user = User(uid=os.getuid(), gid=os.getgid())
    client = Client(path=Path(str(PODMAN)), dialect="podman")
    return ContainerLauncher(container=Container(client=client, image=image, user=user, home=home))


def run(
    launcher: ContainerLauncher, program: Program, log: Path, limit_s: float = 60.0
) -> tuple[list[str], int | None]:
    launch = launcher.launch(program)
    with Supervised(
        launch.argv, env=launch.env, log=log, time_limit_s=limit_s, grace_s=2.0, end=launch.end
    ) as process:
        return list(process.lines()), process.ending().exit_code


def test_a_program_reads_inputs_writes_its_output_as_this_user_and_has_no_network(launcher, tmp_path):
    inputs, output = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    output.mkdir()
    (inputs / "said").write_text("hello")
    script = (
        f"cat {inputs}/said > {output}/made; id -u; echo $GIVEN; "
        f"(echo x > {inputs}/no) 2>/dev/null || echo read-only; "
        "cat /proc/net/dev"
    )
    program = Program(
        ("sh", "-c", script), {"GIVEN": "value"}, directory=output, reads=(inputs,), writes=(output,)
    )
    lines, code = run(launcher, program, tmp_path / "log")
    assert code == 0, lines
    assert lines[:3] == [str(os.getuid()), "value", "read-only"]
    assert [line.split(":")[0].strip() for line in lines[3:] if ":" in line] == ["lo"]
    assert (output / "made").read_text() == "hello"
    assert (output / "made").stat().st_uid == os.getuid()


def test_a_time_limit_ends_the_container_of_a_program_that_is_deaf(launcher, tmp_path):
    before = running()
    program = Program(("sh", "-c", "trap '' TERM; while :; do sleep 1; done"), {})
    run(launcher, program, tmp_path / "log", limit_s=3.0)
    assert running() == before


def running() -> set[str]:
    env = client_environment(os.environ)
    command = [str(PODMAN), "ps", "--all", "--format", "{{.Names}}"]
    return set(subprocess.run(command, env=env, text=True, check=True, stdout=subprocess.PIPE).stdout.split())
