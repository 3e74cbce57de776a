"""Whose a container is."""

import os
import subprocess
import sys

from tasks.toolchains.providers.image.names import NAME, left_behind, new_name, prefix


def test_a_container_of_this_process_is_not_left_behind():
    name = new_name()
    assert name.startswith(prefix())
    assert name != new_name()
    assert left_behind([name]) == []


def test_a_container_of_a_process_that_is_gone_is():
    code = "from tasks.toolchains.providers.image.names import new_name; print(new_name())"
    name = subprocess.run(
        [sys.executable, "-c", code], check=True, text=True, stdout=subprocess.PIPE
    ).stdout.strip()
    assert left_behind([name]) == [name]


def test_a_process_that_has_the_id_of_one_that_is_gone_owns_nothing_of_its():
    own = NAME.fullmatch(new_name())
    assert own
    older = f"{prefix()}{own['space']}-{os.getpid()}-1-abc"
    assert left_behind([older]) == [older]


def test_nothing_is_known_of_other_spaces_and_other_names():
    own = NAME.fullmatch(new_name())
    assert own
    others = f"enginery-{os.getuid() + 1}-{own['space']}-999999999-1-abc"
    assert left_behind([f"{prefix()}1-999999999-1-abc", others, "enginery-web", "postgres"]) == []
