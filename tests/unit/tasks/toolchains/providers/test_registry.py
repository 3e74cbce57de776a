"""Which provider serves a toolchain, and what a new one takes."""

import json
import os
from pathlib import Path

import pytest

from artifacts.hosts import GpusFound
from artifacts.progress import Say
from artifacts.settings import Settings
from tasks.errors import ToolchainSettingInvalid, ToolchainUnavailable
from tasks.toolchains import (
    NotInstalled,
    Toolchain,
    adopt,
    declared,
    ensure,
    forget,
    host_checks,
    planned_identity,
    require_usable,
    status,
)
from tasks.toolchains.providers import registry
from tasks.toolchains.providers.interface import Provider, ToolchainRequest
from tasks.toolchains.providers.lock.install import plan_of
from tasks.toolchains.providers.lock.provider import with_its_lock
from tasks.toolchains.providers.registry import PROVIDERS, provider_of, request_for

IMAGE = f"a/b@sha256:{'0' * 64}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", toolchains_dir=tmp_path / "toolchains")


def serving(table: dict[str, object], settings: Settings) -> str:
    given = settings.model_copy(update={"toolchains": {"aot-cpu": table}})
    return provider_of(request_for(declared()["aot-cpu"], given)).name


def test_the_key_of_a_table_chooses_the_provider(settings):
    assert serving({"python": "/p"}, settings) == "host"
    assert serving({"image": IMAGE, "client": "docker"}, settings) == "image"
    assert serving({}, settings) == "lock"
    assert serving({"lock": "/l"}, settings) == "lock"


def test_another_lock_is_another_toolchain(settings: Settings, tmp_path: Path) -> None:
    """Not installed here, but it would be elsewhere, and is not taken for the one that is shipped."""
    shipped = declared()["aot-cpu"].lock_path
    (tmp_path / "other.txt").write_text(shipped.read_text() + "# the same but for this line\n")
    tables: list[dict[str, object]] = [{}, {"lock": str(shipped)}, {"lock": str(tmp_path / "other.txt")}]
    given = [settings.model_copy(update={"toolchains": {"aot-cpu": table}}) for table in tables]
    requests = [request_for(declared()["aot-cpu"], one) for one in given]
    roots = [plan_of(with_its_lock(one), settings).root for one in requests]
    assert roots[0] == roots[1] != roots[2]


@pytest.mark.parametrize("content", [None, "torch>=2\n"])
def test_what_is_no_lock_is_refused(settings: Settings, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "lock.txt"
    if content:
        path.write_text(content)
    given = settings.model_copy(update={"toolchains": {"aot-cpu": {"lock": str(path)}}})
    with pytest.raises(ToolchainSettingInvalid, match=f"lock: {path} is not a lock"):
        ensure("aot-cpu", given)


def test_providers_have_names_and_keys_of_their_own():
    assert (
        len({provider.name for provider in PROVIDERS})
        == len({provider.key for provider in PROVIDERS})
        == len(PROVIDERS)
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"extra_paths": []}, "names no provider: extra_paths"),
        ({"python": "/p", "image": IMAGE}, "names several providers: image, python"),
    ],
)
def test_a_table_names_exactly_one_provider(settings, table, said):
    given = settings.model_copy(update={"toolchains": {"aot-cpu": table}})
    with pytest.raises(ToolchainSettingInvalid, match=said) as raised:
        ensure("aot-cpu", given)
    assert raised.value.where == "[toolchains.aot-cpu] in enginery.toml"
    found = status("aot-cpu", given)
    assert isinstance(found, NotInstalled)
    assert said in found.obstacles[0].reason


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"image": "vllm/vllm-openai:v0.32.0"}, "does not identify an image"),
        ({"image": "vllm/vllm-openai:v1@sha256:abc"}, "does not identify an image"),
        ({"image": IMAGE, "pyton": "/p"}, "pyton: Extra inputs are not permitted"),
        ({"python": "/p", "extra_path": []}, "extra_path: Extra inputs are not permitted"),
    ],
)
def test_a_table_that_a_provider_does_not_understand_is_refused(settings, table, said):
    given = settings.model_copy(update={"toolchains": {"aot-cpu": table}})
    with pytest.raises(ToolchainSettingInvalid, match=said):
        ensure("aot-cpu", given)


def test_a_table_for_a_toolchain_that_does_not_exist_is_not_ignored(settings):
    given = settings.model_copy(update={"toolchains": {"aot-cpuu": {"python": "/p"}}})
    for look in (ensure, status):
        with pytest.raises(ToolchainSettingInvalid, match="the settings name aot-cpuu, and there is no such"):
            look("aot-cpu", given)


def test_a_tag_is_refused_with_the_commands_that_find_its_digest(settings):
    given = settings.model_copy(update={"toolchains": {"aot-cpu": {"image": "vllm/vllm-openai:v1"}}})
    with pytest.raises(ToolchainSettingInvalid) as raised:
        ensure("aot-cpu", given)
    assert "podman pull vllm/vllm-openai:v1" in raised.value.what
    assert "podman image inspect --format '{{index .RepoDigests 0}}' vllm/vllm-openai:v1" in raised.value.what


def test_what_was_adopted_counts_until_it_is_forgotten_and_settings_count_first(settings):
    adopt("aot-cpu", {"python": "/adopted"}, settings)
    adopt("vllm-cpu", {"python": "/other"}, settings)
    assert request_for(declared()["aot-cpu"], settings).table == {"python": "/adopted"}
    given = settings.model_copy(update={"toolchains": {"aot-cpu": {"python": "/set"}}})
    assert request_for(declared()["aot-cpu"], given).table == {"python": "/set"}
    assert forget("aot-cpu", settings)
    assert not forget("aot-cpu", settings)
    assert request_for(declared()["aot-cpu"], settings).table == {}
    assert request_for(declared()["vllm-cpu"], settings).table == {"python": "/other"}


def test_settings_reach_the_programs_that_are_started_elsewhere(settings, monkeypatch):
    """The stack's worker gets settings as variables."""
    from flows.stack.components.worker import _settings_environment

    given = Settings(toolchains={"aot-cpu": {"python": "/p", "extra_paths": ["/e"]}}, tool_env={"A": "1,2"})
    for name, value in _settings_environment(given).items():
        monkeypatch.setenv(name, value)
    again = Settings()
    assert (again.toolchains, again.tool_env) == (given.toolchains, given.tool_env)
    assert json.loads(os.environ["ENGINERY_TOOLCHAINS"]) == given.toolchains


class Toy(Provider):
    """Serves any toolchain from nothing."""

    name = "toy"
    key = "toy"

    def obstacles(self, wanted: ToolchainRequest):
        return ()

    def status(self, wanted: ToolchainRequest) -> Toolchain | NotInstalled:
        return self.ensure(wanted, print)

    def ensure(self, wanted: ToolchainRequest, say: Say) -> Toolchain:
        here = Path(str(wanted.table["toy"]))
        return Toolchain(
            name=wanted.declared.name, provider=self.name, place=str(here), root=here, python=here,
            bin_dir=here, identity="1" * 64, versions={"torch": "9"},
        )  # fmt: skip


def test_another_provider_is_a_class_and_a_row(settings, monkeypatch):
    monkeypatch.setattr(registry, "PROVIDERS", (*PROVIDERS, Toy()))
    given = settings.model_copy(
        update={"toolchains": {"aot-cpu": {"toy": "/nowhere"}}, "tool_env": {"NCCL_DEBUG": "INFO"}}
    )
    found = ensure("aot-cpu", given)
    assert (found.provider, found.place, found.tool_env) == ("toy", "/nowhere", {"NCCL_DEBUG": "INFO"})
    assert status("aot-cpu", given) == found
    assert planned_identity("aot-cpu", given) == "1" * 64


def test_no_provider_is_asked_under_a_driver_that_is_too_old(settings, monkeypatch):
    monkeypatch.setattr(registry, "PROVIDERS", (*PROVIDERS, Toy()))
    given = settings.model_copy(
        update={"toolchains": {name: {"toy": "/nowhere"} for name in ("vllm-cuda", "aot-cpu")}}
    )
    found = GpusFound(driver="535.183.01", cuda="12.2", gpus=())
    monkeypatch.setattr(host_checks, "probe_gpus", lambda: found)
    with pytest.raises(ToolchainUnavailable) as raised:
        ensure("vllm-cuda", given)
    assert raised.value.what == (
        "toolchain vllm-cuda needs NVIDIA driver 580 or newer, and this host has 535.183.01"
    )
    assert ensure("aot-cpu", given).place == "/nowhere"
    newer = found.model_copy(update={"driver": "580.95.05"})
    monkeypatch.setattr(host_checks, "probe_gpus", lambda: newer)
    assert ensure("vllm-cuda", given).place == "/nowhere"


def test_installing_needs_a_known_name(settings):
    with pytest.raises(ToolchainUnavailable, match="no toolchain named 'tensorrt-llm'"):
        ensure("tensorrt-llm", settings)


@pytest.mark.parametrize("content", ["{bad", "[1]", '{"aot-cpu": 3}'])
def test_a_damaged_record_of_adoptions_is_named(settings: Settings, content: str) -> None:
    path = settings.home / "toolchains.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(ToolchainSettingInvalid, match="record of adopted toolchains is damaged") as caught:
        registry.ensure("aot-cpu", settings)
    assert caught.value.where == str(path)


def test_what_could_not_be_installed_or_used_is_refused_without_installing_anything(
    settings: Settings, tmp_path: Path
) -> None:
    require_usable("aot-cpu", settings)
    assert isinstance(status("aot-cpu", settings), NotInstalled)
    split = settings.model_copy(update={"home": tmp_path / "with blank"})
    with pytest.raises(ToolchainUnavailable, match="take no path with blanks"):
        require_usable("aot-cpu", split)
    unknown = settings.model_copy(update={"toolchains": {"aot-cpu": {"pyton": "/p"}}})
    with pytest.raises(ToolchainSettingInvalid, match="names no provider"):
        require_usable("aot-cpu", unknown)


def test_an_old_driver_is_one_obstacle_although_all_providers_look_for_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = GpusFound(driver="550.54.15", cuda="12.4", gpus=())
    monkeypatch.setattr(host_checks, "probe_gpus", lambda: old)
    with pytest.raises(ToolchainUnavailable) as caught:
        require_usable("vllm-cuda", settings)
    assert str(caught.value).count("needs NVIDIA driver") == 1
