"""Whoever only plans imports records and decisions, and none of the libraries that measure or draw."""

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "jinja2", "matplotlib", "numpy", "prefect", "scipy"}


@pytest.mark.parametrize("folder", ["tasks.judging", "tasks.judging.gates", "tasks.judging.decide"])
def test_records_gates_and_decisions_import_no_heavy_library(folder: str) -> None:
    code = f"import sys, {folder}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []


def test_what_measures_is_found_by_the_same_check() -> None:
    code = f"import sys, tasks.judging.judge; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "aiohttp" in found.stdout.split()
