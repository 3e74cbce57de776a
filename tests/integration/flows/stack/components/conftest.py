"""One stack for all tests here: starting it takes ten seconds of a processor."""

from collections.abc import Iterator

import pytest
from support.servers.own_stack import USERS_OWN, Stack
from support.servers.prefect_database import seed_database

from artifacts.ports import free_port
from artifacts.settings import Settings
from flows.stack.lifecycle import down, up
from flows.stack.system.state import StackPaths

# The server looks for what is due every minute, which a test would wait for.
OFTEN = """\
active = "tests"
[profiles.tests]
PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS = "5"
"""


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    seed_database(settings.home)
    (StackPaths.below(settings.home).prefect_home / "profiles.toml").write_text(OFTEN)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in USERS_OWN.items():
            patch.setenv(name, value)
        status = up(settings, print, prefect_port=free_port(), s3_port=free_port())
    yield Stack(settings, status)
    down(settings, print)
