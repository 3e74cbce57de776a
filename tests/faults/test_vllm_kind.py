"""Kind vllm on real vLLM: built with its warmth proved, judged, published, pulled, and served warm and cold.

It starts vLLM a dozen times and takes minutes, so it is not part of `make test`, where a stand-in is built.
"""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.paths import DATA
from support.programs.builds import Build
from support.programs.main_job import MainJob, main_job

from artifacts.hosts import EngineManifest, WarmCaches
from artifacts.releases import read_install
from artifacts.settings import Settings
from tasks.toolchains import ensure, serving
from tasks.workers.vllm.place import Place, vacate

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(3600)]
SPEC = DATA / "specs" / "vllm-e2e.yaml"


@dataclass(frozen=True)
class Released:
    """The engine, after it was built, published and pulled."""

    job: MainJob
    summary: dict[str, Any]
    directory: Path

    @property
    def warm_caches(self) -> WarmCaches:
        """What its manifest says of its caches."""
        manifest = EngineManifest.model_validate_json((self.directory / "engine.json").read_bytes())
        assert manifest.warm_caches is not None, self.warmth["reason"]
        return manifest.warm_caches

    @property
    def warmth(self) -> dict[str, Any]:
        """What the build reported."""
        (build,) = [stage for stage in self.summary["stages"] if stage["stage"] == "build"]
        warmth: dict[str, Any] = build["metrics"]["warmth"]
        return warmth


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    root = tmp_path_factory.mktemp("vllm-kind")
    with main_job(root) as job:
        build = Build(SPEC, job.env)
        code, summary = build.finish()
        assert code == 0, build.log()
        pulled = job.cli("pull", "vllm-e2e", "--to", root / "engines")
        assert pulled.returncode == 0, pulled.stderr
        made = Released(job, summary, Path(pulled.stdout.strip()))
        yield made
        vacate(Place(Path(made.warm_caches.place)), os.geteuid())


def served(released: Released, tree: Path, log: Path, **variables: str) -> list[str]:
    """Serve a directory, ask for a completion, and return what the server printed."""
    serve, lines = read_install(released.directory).serve, []
    toolchain = ensure(serve.toolchain, Settings())
    with serving(
        toolchain, serve, tree, log=log, on_line=lines.append, ready_limit_s=600, extra_env=variables
    ) as server:
        body = {"model": server.model, "prompt": "def main(", "max_tokens": 8, "temperature": 0}
        request = urllib.request.Request(
            f"{server.base_url}/v1/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["choices"][0]["text"]
        lines.append(f"ready after {server.ready_s:.1f} s")
    return lines


def kernels(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*.so")}


def test_the_build_proves_that_starts_from_a_copy_use_the_caches(released: Released) -> None:
    starts = released.warmth["starts"]
    assert released.warmth["ships"], released.warmth["reason"]
    assert {start["compiled_files_added"] for start in (*starts["warm"], *starts["copy"])} == {0}
    assert all(start["compiled_files_added"] > 0 for start in starts["cold"])
    ratios = [released.warmth[name] for name in ("cold_over_copy", "processor_cold_over_copy")]
    assert any(ratio["lower"] > 1.0 for ratio in ratios)
    assert len(starts["copy"]) >= 2


def test_it_was_judged_against_plain_vllm_and_published(released: Released) -> None:
    (variant,) = released.summary["variants"]
    assert variant["verdict"] == "compile", variant["reasons"]
    assert released.summary["channels"] == ["nightly"]


def test_a_pulled_engine_is_served_warm_and_compiles_nothing(released: Released, tmp_path: Path) -> None:
    warm = released.warm_caches
    lines = served(released, released.directory, tmp_path / "log", HOME=str(tmp_path))
    assert f"enginery: warm start: {warm.place}/caches" in lines
    shipped = kernels(released.directory / warm.path)
    assert kernels(Path(warm.place) / "caches") == shipped
    assert shipped


def test_a_place_that_somebody_else_has_taken_ends_in_a_cold_start(
    released: Released, tmp_path: Path
) -> None:
    place = Path(released.warm_caches.place)
    aside = place.rename(place.with_name(f"{place.name}.aside")) if place.exists() else None
    place.symlink_to(tmp_path)
    try:
        lines = served(released, released.directory, tmp_path / "log")
    finally:
        place.unlink()
        if aside:
            aside.rename(place)
    (cold,) = [line for line in lines if line.startswith("enginery: cold start: ")]
    assert re.search(rf"{place} is a link to .*, and anybody may have put it there", cold)
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


def test_caches_of_another_vllm_end_in_a_cold_start(released: Released, tmp_path: Path) -> None:
    tree = tmp_path / "engine"
    tree.mkdir()
    for path in released.directory.iterdir():
        if path.name != "engine.json":
            (tree / path.name).symlink_to(path)
    manifest = json.loads((released.directory / "engine.json").read_bytes())
    manifest["warm_caches"]["captured"]["vllm"] = "0.26.0"
    (tree / "engine.json").write_text(json.dumps(manifest))
    lines = served(released, tree, tmp_path / "log")
    (cold,) = [line for line in lines if line.startswith("enginery: cold start: ")]
    assert "vllm: captured with 0.26.0, this host has" in cold
