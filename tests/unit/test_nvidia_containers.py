"""docs/nvidia-containers.md says what the code does: the code reads its blocks, commands and figures."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from support.paths import ROOT

from artifacts.settings import Settings, load_settings
from engine_specs.tables import load_kinds
from flows.cli.main import make_app
from flows.gpu_check.options import Options
from flows.gpu_check.variants import parse_variant
from tasks.errors import ToolchainSettingInvalid
from tasks.toolchains import declaration, declared, driver_floor
from tasks.toolchains.providers.facts import tool_specifier
from tasks.toolchains.providers.host.provider import HostTable
from tasks.toolchains.providers.image.provider import ImageTable
from tasks.toolchains.providers.registry import provider_of, request_for

PAGE = (ROOT / "docs" / "nvidia-containers.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(PAGE)
TOML = [text for language, text in BLOCKS if language == "toml"]
ROW = re.compile(
    r"^\| `(tensorrt-llm-[\d.]+)`, for kind `([\w-]+)` \| `([\w/.-]+):([\w.]+)` \|$", re.MULTILINE
)
TABLES = {"image": ImageTable, "host": HostTable}


def filled(text: str) -> str:
    """A block as a reader fills it in."""
    return text.replace("REGISTRY", "registry.example").replace("DIGEST", "a" * 64)


def read(text: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a directory with this enginery.toml."""
    (directory / "enginery.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(directory)
    return load_settings()


@pytest.mark.parametrize("block", TOML, ids=range(len(TOML)))
def test_every_settings_file_is_one_that_the_settings_and_its_provider_read(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read(filled(block), tmp_path, monkeypatch)
    assert settings.toolchains == tomllib.loads(filled(block))["toolchains"]
    for name in settings.toolchains:
        request = request_for(declaration(name), settings)
        assert request.read(TABLES[provider_of(request).name]).model_dump(exclude_defaults=True)
    assert set(settings.tool_env) == set(tomllib.loads(block).get("tool_env", {}))


def test_both_providers_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = set()
    for block in TOML:
        settings = read(filled(block), tmp_path, monkeypatch)
        shown |= {provider_of(request_for(declaration(one), settings)).name for one in settings.toolchains}
    assert shown == set(TABLES)


def test_a_digest_that_nobody_filled_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(TOML[0], tmp_path, monkeypatch)
    request = request_for(declaration("tensorrt-llm-1.2"), settings)
    with pytest.raises(ToolchainSettingInvalid, match="does not identify an image"):
        request.read(ImageTable)


def test_each_toolchain_with_tensorrt_llm_has_a_row_with_its_kind_and_its_version() -> None:
    rows = {name: (kind, tag) for name, kind, _, tag in ROW.findall(PAGE)}
    assert set(rows) == {name for name in declared() if declaration(name).tool == "tensorrt-llm"}
    for name, (kind, tag) in rows.items():
        assert set(load_kinds()[kind].toolchains.build.values()) == {name}
        assert tag == declaration(name).tool_version()


def test_an_adopted_interpreter_has_to_hold_exactly_the_version_of_the_lock() -> None:
    assert "exactly the version of the lock" in PAGE
    for name, *_ in ROW.findall(PAGE):
        assert str(tool_specifier(declaration(name))) == f"=={declaration(name).tool_version()}"


def test_the_driver_and_the_quantizing_toolchains_are_those_of_the_declarations() -> None:
    for name, kind, *_ in ROW.findall(PAGE):
        assert f"({driver_floor([name])})" in PAGE
        assert f"`{load_kinds()[kind].toolchains.quantize['cuda']}` (for {name[-3:]})" in PAGE


def test_every_command_of_an_installation_elsewhere_exists() -> None:
    """Those that begin with `enginery` are checked in every document."""
    named = re.findall(r"/bin/enginery ((?:[a-z-]+)(?: [a-z-]+)?)", PAGE)
    assert len(named) > 2
    assert [one for one in named if not make_app().parse_commands(one.split())[0]] == []


def test_toolchains_that_it_installs_or_adopts_are_declared() -> None:
    named = re.findall(r"toolchain (?:install|adopt) ([a-z][\w.-]+)", PAGE)
    assert len(named) > 3
    assert [name for name in named if name not in declared()] == []


def test_the_extra_that_it_installs_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extra,) = re.findall(r"install '\.\[(\w+)\]'", PAGE)
    assert extra in project["optional-dependencies"]


def test_the_check_takes_the_arguments_that_it_is_shown_with() -> None:
    ((target, given),) = re.findall(r'`make ([a-z-]+) GPU_CHECK_ARGS="([^"]+)"`', PAGE)
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:.*\n\t.*flows\.gpu_check \$\(GPU_CHECK_ARGS\)", makefile, re.MULTILINE)
    words = shlex.split(given)
    options = dict(zip(words[::2], words[1::2], strict=True))
    asked = Options(
        size=options.pop("--size"),
        minutes=float(options.pop("--minutes")),
        variant=(options.pop("--variant"),),
    )
    assert options == {}
    asked.require_valid()
    assert parse_variant(asked.variant[0]).kind == "trt-plan"
