"""Finding specs by name and path, what the shipped demo says, and how little the layer imports."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.specs.text import GOOD

from engine_specs.reading import SpecNotFound
from engine_specs.spec import list_specs, load_spec, resolve_variants

HEAVY = (
    "prefect torch transformers vllm modelopt huggingface_hub numpy scipy boto3 artifacts.store tasks flows"
)
MODULES = "reading tables spec preflight"


@pytest.fixture
def specs_dir(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(GOOD)
    (tmp_path / "other.yml").write_text(GOOD.replace("name: tiny", "name: other"))
    (tmp_path / "notes.txt").write_text("no spec")
    (tmp_path / "kinds").mkdir()
    return tmp_path


def test_specs_are_listed_without_being_opened(specs_dir: Path) -> None:
    (specs_dir / "broken.yaml").write_text("name: [")
    assert [path.name for path in list_specs(specs_dir)] == ["broken.yaml", "other.yml", "tiny.yaml"]


def test_a_spec_is_found_by_name_and_by_path(specs_dir: Path) -> None:
    by_name = load_spec("tiny", specs_dir)
    assert by_name.path == specs_dir / "tiny.yaml"
    assert load_spec(specs_dir / "tiny.yaml").model_dump() == by_name.model_dump()
    assert load_spec(str(specs_dir / "other.yml")).name == "other"


def test_a_spec_keeps_its_place_when_the_process_moves(
    specs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(specs_dir)
    spec = load_spec("tiny.yaml")
    monkeypatch.chdir("/")
    assert spec.path == specs_dir / "tiny.yaml"


def test_an_unknown_name_lists_what_there_is(specs_dir: Path) -> None:
    with pytest.raises(
        SpecNotFound, match=r"no spec named 'tinny'(.|\n)*did you mean tiny\? specs there: other, tiny"
    ):
        load_spec("tinny", specs_dir)


@pytest.mark.parametrize("name", ["missing.yaml", "./missing", Path("missing")])
def test_a_missing_file_is_said_to_be_missing(name: str | Path) -> None:
    with pytest.raises(SpecNotFound, match="no spec file at missing"):
        load_spec(name)


def test_a_missing_directory_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SpecNotFound, match="no directory of specs at"):
        load_spec("tiny", tmp_path / "nowhere")


def test_a_name_finds_only_the_spec_of_that_name(specs_dir: Path) -> None:
    (specs_dir / "copy.yaml").write_text(GOOD)
    with pytest.raises(SpecNotFound, match=r"copy\.yaml holds the spec 'tiny'"):
        load_spec("copy", specs_dir)


def test_the_demo_builds_one_small_engine() -> None:
    demo = load_spec("demo")
    (variant,) = resolve_variants(demo)
    assert (variant.name, variant.required, variant.quantization.recipe) == (
        "cpu-int8",
        True,
        "int8_weight_only",
    )
    assert variant.target.name == "cpu-x86-64-v3"
    assert demo.checkpoint.repo == "enginery/demo-llama"
    assert demo.validation.accuracy.dataset == "enginery/demo-text"
    assert (demo.workload.operating_point, demo.validation.speed.min_speedup) == (1, 1.1)


def test_the_layer_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        f"for name in {MODULES!r}.split(): __import__('engine_specs.' + name)\n"
        f"print(*(name for name in {HEAVY!r}.split() if name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_the_base_of_errors_imports_no_model() -> None:
    code = "import sys, artifacts.errors; print('pydantic' in sys.modules, 'yaml' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False False"
