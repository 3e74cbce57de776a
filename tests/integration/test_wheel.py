"""The package that hosts install: the tables and templates that it reads, and none of the demo's data."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.paths import ROOT

PACKAGES = ("flows", "tasks", "artifacts", "engine_specs")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel that this checkout builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source / name)
    argv = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        ".",
    ]
    subprocess.run(argv, cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def files(root: Path, suffixes: tuple[str, ...]) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for name in PACKAGES
        for path in (root / name).rglob("*")
        if path.suffix in suffixes
    }


def test_it_holds_every_module_and_table_but_the_demos(installed: Path) -> None:
    suffixes = (".py", ".yaml", ".json", ".txt", ".in", ".j2")
    demo = ("flows/demo/hub/", "flows/demo/training/")
    wanted = {path for path in files(ROOT, suffixes) if not path.startswith(demo)}
    assert files(installed, suffixes) == wanted
    assert files(installed, (".safetensors", ".jsonl")) == set()


def test_the_demo_says_where_it_runs(installed: Path) -> None:
    argv = [sys.executable, "-P", "-m", "flows", "demo"]
    done = subprocess.run(
        argv, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "fix: run `make demo` in a checkout of enginery" in done.stderr
