"""The checkpoint of `make gpu-check`, really trained on the CPU: small, on a part of the standard library."""

import json
import shutil
import sysconfig
from pathlib import Path

import pytest

from artifacts.settings import Settings
from flows.demo.hub_repo import DEMO_HUB, read_hub
from flows.gpu_check.checkpoint import REPO, TrainingRequest, trained_checkpoint
from flows.gpu_check.sizes import size_near
from tasks.errors import WorkerRefusedInput

pytestmark = pytest.mark.toolchain
# Their names are in the splits for training and for validation.
MODULES = ("json", "logging", "http", "zipfile.py", "concurrent", "sched.py")
SIZE = size_near(2 * 10**6)


@pytest.fixture
def stdlib(tmp_path: Path) -> Path:
    source, part = Path(sysconfig.get_path("stdlib")), tmp_path / "stdlib"
    part.mkdir()
    for name in MODULES:
        if (source / name).is_dir():
            shutil.copytree(source / name, part / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source / name, part / name)
    return part


def test_a_library_without_sources_is_refused_with_what_to_name(settings: Settings, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    request = TrainingRequest(size=SIZE, minutes=0.05, accelerator="cpu", stdlib=empty)
    with pytest.raises(WorkerRefusedInput, match="no function of the split train among 0") as caught:
        trained_checkpoint(request, settings, lambda _line: None)
    assert str(empty) in str(caught.value)
    assert "--stdlib" in caught.value.fix


def test_a_checkpoint_of_the_size_is_trained_once(settings: Settings, stdlib: Path) -> None:
    request = TrainingRequest(size=SIZE, minutes=0.05, accelerator="cpu", stdlib=stdlib)
    lines: list[str] = []
    trained = trained_checkpoint(request, settings, lines.append)
    assert trained.figures["parameters"] == SIZE.parameters
    assert trained.figures["train_tokens"] > trained.figures["validation_tokens"] > 0
    assert trained.figures["best_step"] >= 1
    assert 2 * SIZE.parameters < trained.weight_bytes < 2.1 * SIZE.parameters
    assert (trained.metadata.config["rope_theta"], trained.metadata.config["torch_dtype"]) == (
        50000.0,
        "bfloat16",
    )
    repos = read_hub(trained.hub)
    ours, demo = repos["model", REPO], read_hub(DEMO_HUB)
    assert ours.commit == trained.commit
    theirs = demo["model", "enginery/demo-llama"].file("tokenizer.json")
    assert theirs is not None
    assert ours.file("tokenizer.json").blob_id == theirs.blob_id  # type: ignore[union-attr]
    texts = ("dataset", "enginery/demo-text")
    assert repos[texts].commit == demo[texts].commit, "the spec names the demo's revision"
    again = trained_checkpoint(request, settings, pytest.fail)
    assert (again.commit, again.reused, trained.reused) == (trained.commit, True, False)
    report = json.loads((trained.hub / REPO / "training.json").read_text())
    assert report["validation_nats_per_token"] < 8
