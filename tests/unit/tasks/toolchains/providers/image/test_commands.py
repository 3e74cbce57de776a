"""The exact commands that podman and docker are given."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.toolchains.launcher import Program
from tasks.toolchains.providers.image.commands import (
    Client,
    Container,
    User,
    end_command,
    inspect_command,
    list_command,
    pull_command,
    run_command,
)

IMAGE = f"nvcr.example/nvidia/tensorrt-llm@sha256:{'a' * 64}"
DOCKER = Client(path=Path("/usr/bin/docker"), dialect="docker")
PODMAN = Client(path=Path("/usr/bin/podman"), dialect="podman")
JOB = Program(
    argv=("/usr/bin/python3", "/src/build.py", "/tmp/j/request.json"),
    env={"PATH": "/host/bin", "HOME": "/home/me", "TMPDIR": "/tmp/j", "LANG": "C.UTF-8"},
    directory=Path("/tmp/j"),
    reads=(Path("/src"), Path("/in/checkpoint")),
    writes=(Path("/tmp/j"), Path("/out")),
)
SERVER = replace(
    JOB,
    env=JOB.env | {"CUDA_VISIBLE_DEVICES": "2,5"},
    writes=(Path("/tmp/j"),),
    gpus=("GPU-aa", "GPU-bb"),
    listens=True,
)


def container(client: Client, uid: int = 1000) -> Container:
    return Container(
        client=client,
        image=IMAGE,
        user=User(uid=uid, gid=100),
        home=Path("/tools/x"),
        search_path="/opt/bin:/bin",
    )


def lines(command: tuple[str, ...]) -> list[str]:
    """One flag with its value a line."""
    shown: list[str] = []
    for part in command:
        if part.startswith("--") or not shown or not shown[-1].startswith("--") or " " in shown[-1]:
            shown.append(part)
        else:
            shown[-1] += f" {part}"
    return shown


def test_a_job_of_docker():
    assert lines(run_command(container(DOCKER), JOB, "enginery-7-ab")) == [
        "/usr/bin/docker",
        "run",
        "--rm",
        "--init",
        "--pull never",
        "--name enginery-7-ab",
        "--log-driver none",
        "--user 1000:100",
        "--network none",
        "--ipc host",
        "--security-opt no-new-privileges",
        "--security-opt label=disable",
        "--mount type=bind,source=/tools/x,target=/tools/x",
        "--mount type=bind,source=/tmp/j,target=/tmp/j",
        "--mount type=bind,source=/out,target=/out",
        "--mount type=bind,source=/src,target=/src,readonly",
        "--mount type=bind,source=/in/checkpoint,target=/in/checkpoint,readonly",
        "--workdir /tmp/j",
        "--env HOME=/tools/x",
        "--env PATH=/opt/bin:/bin",
        "--env NVIDIA_VISIBLE_DEVICES=void",
        "--env LANG",
        "--env TMPDIR",
        "--entrypoint /usr/bin/python3",
        IMAGE,
        "/src/build.py",
        "/tmp/j/request.json",
    ]


def test_a_server_of_a_users_podman_on_two_gpus():
    assert lines(run_command(container(PODMAN), SERVER, "enginery-7-cd")) == [
        "/usr/bin/podman",
        "run",
        "--rm",
        "--init",
        "--pull never",
        "--name enginery-7-cd",
        "--log-driver none",
        "--user 1000:100",
        "--userns keep-id",
        "--network host",
        "--ipc host",
        "--ulimit host",
        "--security-opt no-new-privileges",
        "--security-opt label=disable",
        "--device nvidia.com/gpu=GPU-aa",
        "--device nvidia.com/gpu=GPU-bb",
        "--mount type=bind,source=/tools/x,target=/tools/x",
        "--mount type=bind,source=/tmp/j,target=/tmp/j",
        "--mount type=bind,source=/src,target=/src,readonly",
        "--mount type=bind,source=/in/checkpoint,target=/in/checkpoint,readonly",
        "--workdir /tmp/j",
        "--env HOME=/tools/x",
        "--env PATH=/opt/bin:/bin",
        "--env CUDA_VISIBLE_DEVICES=0,1",
        "--env LANG",
        "--env TMPDIR",
        "--entrypoint /usr/bin/python3",
        IMAGE,
        "/src/build.py",
        "/tmp/j/request.json",
    ]


def test_docker_takes_gpus_as_one_quoted_value():
    command = run_command(container(DOCKER), SERVER, "n")
    assert command[command.index("--gpus") + 1] == '"device=GPU-aa,GPU-bb"'
    assert command[command.index("--ulimit") + 1] == "memlock=-1"
    assert "NVIDIA_VISIBLE_DEVICES=void" not in command


def test_root_needs_no_mapping_of_users():
    assert "--userns" not in run_command(container(PODMAN, uid=0), JOB, "n")


def test_no_value_of_the_programs_own_variables_is_in_the_command():
    command = run_command(container(DOCKER), replace(JOB, env={"HF_TOKEN": "hidden"}), "n")
    assert "HF_TOKEN" in command
    assert not any("hidden" in part for part in command)


def test_what_is_written_is_not_mounted_again_to_be_read_and_commas_are_quoted():
    program = replace(
        JOB, reads=(Path("/tmp/j/code"), Path("/a,b")), writes=(Path("/tmp/j"), Path("/tmp/j/out"))
    )
    mounts = [part for part in run_command(container(DOCKER), program, "n") if part.startswith("type=bind")]
    assert mounts == [
        "type=bind,source=/tools/x,target=/tools/x",
        "type=bind,source=/tmp/j,target=/tmp/j",
        'type=bind,"source=/a,b","target=/a,b",readonly',
    ]


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (DOCKER, ("/usr/bin/docker", "rm", "--force", "n")),
        (PODMAN, ("/usr/bin/podman", "rm", "--force", "--ignore", "--time", "0", "n")),
    ],
)
def test_a_container_is_ended_by_its_name(client, expected):
    assert end_command(client, "n") == expected


def test_an_image_is_asked_for_by_its_digest():
    assert inspect_command(DOCKER, IMAGE) == (
        "/usr/bin/docker",
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        IMAGE,
    )
    assert pull_command(PODMAN, IMAGE) == ("/usr/bin/podman", "pull", IMAGE)


def test_containers_are_listed_by_how_their_names_begin():
    expected = ("ps", "--all", "--filter", "name=^enginery-", "--format", "{{.Names}}")
    assert list_command(DOCKER, "enginery-") == ("/usr/bin/docker", *expected)
