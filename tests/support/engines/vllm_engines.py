"""Engines of kind vllm around a stand-in of vLLM, and what their launcher starts."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """What the launcher printed, and what vLLM saw."""

    said: str
    argv: list[str]
    env: dict[str, str]
    prefix: str


Serve = Callable[..., Started]


def write_manifest(tree: Path, warm_caches: dict[str, Any] | None) -> None:
    """Write as much of engine.json as the launcher reads."""
    (tree / "engine.json").write_text(json.dumps({"warm_caches": warm_caches}))


def captured_changed(tree: Path, **changes: str) -> None:
    """Let the tree say that its caches were captured with something else."""
    warm = json.loads((tree / "engine.json").read_text())["warm_caches"]
    write_manifest(tree, warm | {"captured": warm["captured"] | changes})


def run_module(module: str, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a worker's module as a program, with its sources as the only import path of ours."""
    command = [sys.executable, "-P", "-m", module, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)
