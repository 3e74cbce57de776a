"""The type checker sees workers, by the settings that `make lint` uses."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

PACKAGES = ("artifacts", "engine_specs", "tasks", "flows")
PLANTS = [
    (
        "quantize/main.py",
        'request.inputs["checkpoint"], request.params, request.admission)',
        'request.inputs["checkpoint"], request.admission, request.params)',
        'Argument 2 to "require_supported" has incompatible type "QuantizeAdmission"',
    ),
    ("aot/build.py", "_prove(plan, request.output)", "_prove(plan, request.params)", 'expected "Path"'),
    ("completions_server/main.py", "Batcher(engine)", "Batcher(manifest)", 'expected "Engine"'),
    ("trt_plan/engine.py", "params.tool.line", "params.tool.version", 'has no attribute "version"'),
    ("trtllm_torch/build.py", "run(main, TrtllmTorchParams,", "run(main, Target,", "[arg-type]"),
    ("vllm/build.py", "run(main, VllmParams,", "run(main, Target,", "[arg-type]"),
    ("lm_eval/score.py", "Scores(right)", "Scores(asked)", 'incompatible type "LmEvalParams"'),
    (
        "damaged_server/main.py",
        "DamagedAotEngine(engine, planted)",
        "DamagedAotEngine(codec, planted)",
        "Codec",
    ),
    ("trtllm_bench/ask.py", "BenchmarkRun(took)", "BenchmarkRun(places)", 'expected "float"'),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workers, which has been checked."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "tasks" / "workers", folder / "tasks" / "workers")
    (folder / "tasks" / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)
    assert checked(folder) == ""
    return folder


def checked(folder: Path) -> str:
    """What mypy has against the workers there; empty if nothing."""
    command = [sys.executable, "-m", "mypy", "--cache-dir", ".cache", "-p", "tasks.workers"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize(("file", "right", "wrong", "said"), PLANTS, ids=[plant[0] for plant in PLANTS])
def test_a_wrong_argument_in_a_worker_is_found(
    copy: Path, file: str, right: str, wrong: str, said: str
) -> None:
    path = copy / "tasks" / "workers" / file
    before = path.read_text()
    assert right in before
    path.write_text(before.replace(right, wrong))
    try:
        of_this_file = [line for line in checked(copy).splitlines() if f"{file}:" in line]
        assert [line for line in of_this_file if said in line]
    finally:
        path.write_text(before)


def test_no_source_is_excepted_from_it() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 400
    assert [path for path in files if "type: ignore" in path.read_text()] == []


def test_every_worker_has_a_mistake_planted() -> None:
    workers = {path.parent.name for path in (ROOT / "tasks" / "workers").glob("*/request.py")}
    assert workers - {plant[0].partition("/")[0] for plant in PLANTS} == set()
