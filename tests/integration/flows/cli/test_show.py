"""`enginery show`: how each variant is served and what it needs, from a real store."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.engines.stand_ins import manifest
from support.programs.cli import run_here
from support.stores.releases import published, variant

from artifacts.hosts import BuiltOn, HostRequirements, ServeCommand, TuningCache, WarmCaches
from artifacts.store import Store

ENGINE = ServeCommand(
    toolchain="tensorrt-llm-1.4",
    argv=(
        "{bin}/trtllm-serve",
        "{tree}",
        "--host",
        "{host}",
        "--port",
        "{port}",
        "--served_model_name",
        "{model}",
    ),
    env={"TLLM_AUTOTUNER_CACHE_PATH": "{scratch}/autotuner/cache.json"},
    rewrites=("autotuner/cache.json",),
    model="model",
)
VLLM = ServeCommand(
    toolchain="vllm-cuda",
    argv=("{python}", "-m", "vllm.entrypoints.openai.api_server", "--model", "{tree}", "--port", "{port}"),
    env={"VLLM_LOGGING_LEVEL": "WARNING"},
    model="model",
)
B200 = HostRequirements(
    machine="x86_64", gpu_names=("NVIDIA B200",), compute_capability="10.0", gpu_count=2, driver_floor="580"
)


@pytest.fixture
def shown(store: Store, tmp_path: Path) -> str:
    """A release with an engine, and a variant that stays on vLLM."""
    engine = manifest(stand_in=False).model_copy(
        update={
            "built_on": BuiltOn(
                gpu_name="NVIDIA B200", compute_capability="10.0", driver="580.95.05", cuda="13.1"
            ),
            "tuning": TuningCache(
                path="autotuner/cache.json",
                gpu_name="NVIDIA B200",
                compute_capability="10.0",
                tool_version="1.4.0rc1",
                tensor_parallel=2,
                config_sha256="c" * 64,
            ),
            "warm_caches": WarmCaches(
                path="caches",
                place="/var/tmp/enginery-vllm-0",
                environment={},
                captured={"vllm": "0.32.0", "instructions": "avx avx2"},
            ),
        }
    )
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "engine.json").write_text(engine.model_dump_json())
    tree = store.put_tree(tmp_path / "engine").digest
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    checkpoint = store.put_tree(tmp_path / "checkpoint").digest
    stays = variant("l4", checkpoint, verdict="stay-on-vllm", serve=VLLM, vllm_serve=VLLM)
    made = published(
        store, variant("b200", tree, serve=ENGINE, vllm_serve=VLLM, requires=B200), stays, name="llama"
    )
    return f"llama@{made.version}"


def test_every_variant_has_its_command_line_toolchain_and_environment(shown: str) -> None:
    done = run_here("show", shown)
    assert done.returncode == 0, done.stderr
    lines = [line.strip().removesuffix(" \\") for line in done.stdout.splitlines()]
    engine, stays = (lines[lines.index(name) :] for name in ("b200: compile", "l4: stay-on-vllm"))
    for said in (
        "needs    x86_64; 2 x NVIDIA B200 of compute capability 10.0; NVIDIA driver 580 or newer",
        "built on NVIDIA B200 (compute capability 10.0), driver 580.95.05, CUDA 13.1",
        "warm     caches: captured with vllm 0.32.0",
        "serve    with toolchain tensorrt-llm-1.4, as model 'llama':",
        "--served_model_name llama",
        "-Dm644 <directory>/autotuner/cache.json <scratch>/autotuner/cache.json",
        "TLLM_AUTOTUNER_CACHE_PATH=<scratch>/autotuner/cache.json",
        "<toolchain:tensorrt-llm-1.4>/bin/trtllm-serve",
        "--port 8000",
    ):
        assert said in engine
    assert any(line.startswith("tuned    autotuner/cache.json: kernels measured on 2 x") for line in engine)
    assert "serve    with toolchain vllm-cuda, as model 'model':" in stays
    assert "--model <directory>" in stays
    assert not any(line.startswith("vLLM ") for line in stays), "it is what is deployed"
    assert sum(line.startswith("vLLM ") for line in engine) == 1


def test_the_document_holds_the_release_and_what_the_engines_say(shown: str) -> None:
    document = json.loads(run_here("show", shown, "--json").stdout)
    assert [one["name"] for one in document["variants"]] == ["b200", "l4"]
    assert document["engines"].keys() == {"b200"}
    assert document["engines"]["b200"]["built_on"]["driver"] == "580.95.05"


def test_a_host_with_the_light_install_reads_it(shown: str) -> None:
    probe = (
        "import sys; sys.modules.update(dict.fromkeys(['prefect', 'huggingface_hub', 'scipy', 'aiohttp', "
        "'jinja2']));"
        f"from flows.cli.main import run; sys.exit(run(['show', '{shown}']))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "b200: compile" in done.stdout
