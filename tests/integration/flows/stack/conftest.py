"""A local stack of a test's own, with one small deployment."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifacts.ports import free_port
from artifacts.settings import Settings
from flows.stack.lifecycle import down, up
from flows.stack.status import StackStatus

PREFECT_YAML = """\
name: probe
prefect-version: 3.8.8
build: null
push: null
pull: null
deployments:
  - name: sleeper
    entrypoint: sleeper.py:sleeper
    work_pool: {name: enginery-cpu}
"""
FLOW = """\
import os
import time

from prefect import flow


@flow(persist_result=False)
def sleeper(marker: str, seconds: float) -> None:
    with open(f"{marker}.part", "w") as file:
        file.write(f"{os.getpid()} {os.environ['AWS_ENDPOINT_URL_S3']}")
    os.replace(f"{marker}.part", marker)
    time.sleep(seconds)
"""


@pytest.fixture(scope="module")
def stack_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("stack-home"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a prefect.yaml and a flow that does next to nothing."""
    directory = tmp_path_factory.mktemp("project")
    (directory / "prefect.yaml").write_text(PREFECT_YAML)
    (directory / "sleeper.py").write_text(FLOW)
    return directory


@pytest.fixture(scope="module")
def bring_up(
    stack_settings: Settings, project: Path
) -> Iterator[Callable[[], tuple[StackStatus, list[str]]]]:
    """Bring the stack up; returns its status and what was said. Ports are free ones on the first time."""
    first = {"prefect_port": free_port(), "s3_port": free_port()}

    def bring() -> tuple[StackStatus, list[str]]:
        said: list[str] = []
        status = up(stack_settings, said.append, project=project, **first)
        first.clear()
        return status, said

    yield bring
    down(stack_settings, lambda line: None)
