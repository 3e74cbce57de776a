"""A host without the features is refused in words, before anything is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.workers.completions_server import main
from tasks.workers.completions_server.host import HostRefused, check_host, cpu_flags

CPUINFO = "processor\t: 0\nflags\t\t: fpu avx avx2 fma\n\nprocessor\t: 1\nflags\t\t: fpu avx avx2\n"


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    return path


def test_flags_are_those_of_every_processor(cpuinfo: Path) -> None:
    assert cpu_flags(cpuinfo) == {"fpu", "avx", "avx2"}


def test_a_fitting_host_passes(cpuinfo: Path) -> None:
    check_host({"machine": "x86_64", "cpu_features": ["avx", "avx2"]}, cpuinfo)


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        ({"machine": "x86_64", "cpu_features": ["avx2", "fma", "avx512f"]}, "lacks avx512f, fma"),
        ({"machine": "aarch64", "cpu_features": []}, "is for aarch64"),
    ],
)
def test_a_lacking_host_is_refused(cpuinfo: Path, requires: dict[str, object], said: str) -> None:
    with pytest.raises(HostRefused, match=said):
        check_host(requires, cpuinfo)


def test_the_server_refuses_before_it_imports_anything_heavy(tmp_path: Path) -> None:
    """Run by an interpreter without torch: it could not get further than the check."""
    requires = {"machine": "x86_64", "cpu_features": ["avx9000"]}
    (tmp_path / "engine.json").write_text(json.dumps({"requires": requires}))
    command = [sys.executable, "-m", main.__name__, "--tree", str(tmp_path), "--port", "1", "--model", "m"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == main.EXIT_REFUSED
    assert "lacks avx9000" in ended.stderr
    assert "Traceback" not in ended.stderr
