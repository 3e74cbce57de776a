"""The shipped specs: they read, they fit what is known of their checkpoints, and every pin was looked up."""

import json
from collections.abc import Iterator

import pytest

from engine_specs.preflight import examine, vendored_checkpoint
from engine_specs.preflight.known_checkpoints import VendoredCheckpoint
from engine_specs.reading import is_commit
from engine_specs.spec import Spec, TextSource, list_specs, load_spec, resolve_variants
from flows.cli.commands import specs
from tasks.hub.row_files import split_files
from tasks.hub.selection import HubFile

GPUS_OF_A_HOST = 8
# Of the demo, whose checkpoint comes with the package and is checked where its Hub is.
DEMO = "demo"
SHIPPED = {path.stem: load_spec(path) for path in list_specs()}
# Commits of datasets, and files there, as the Hub's pages of files show them at these commits.
DATASETS = {
    "togethercomputer/RedPajama-Data-1T-Sample": (
        "776f0cf8399524b53d817f4613cc75c6cd9c5a3b",
        ("arxiv_sample.jsonl", "book_sample.jsonl", "c4_sample.jsonl", "wikipedia_sample.jsonl"),
    ),
    "EleutherAI/lambada_openai": (
        "879e19a2c9bb7ef03f9cf962089cf7d008f91e27",
        ("data/lambada_test.jsonl", "data/lambada_test_de.jsonl", "data/lambada_test_en.jsonl"),
    ),
}

ON_THE_HUB = [spec for name, spec in SHIPPED.items() if name != DEMO]
on_the_hub = pytest.mark.parametrize("spec", ON_THE_HUB, ids=lambda s: s.name)


def known(spec: Spec) -> VendoredCheckpoint:
    checkpoint = vendored_checkpoint(spec.checkpoint.repo)
    assert checkpoint is not None, f"no metadata of {spec.checkpoint.repo} comes with the package"
    return checkpoint


def texts(spec: Spec) -> Iterator[TextSource]:
    yield spec.validation.accuracy
    for variant in resolve_variants(spec):
        if variant.quantization.calibration is not None:
            yield variant.quantization.calibration


def test_these_are_shipped() -> None:
    assert set(SHIPPED) >= {DEMO, "llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "qwen3-8b"}


@on_the_hub
def test_every_variant_passes_preflight_from_vendored_metadata(spec: Spec) -> None:
    checkpoint = known(spec)
    for variant in resolve_variants(spec):
        found = examine(spec, variant, checkpoint.config, checkpoint.file_bytes)
        assert (found.problems, found.warnings) == ((), ())
        assert found.memory is not None
        assert found.memory.fit == "fits"


@on_the_hub
def test_a_pinned_commit_is_one_whose_source_is_named(spec: Spec) -> None:
    if spec.checkpoint.track:
        assert not is_commit(spec.checkpoint.revision)
    else:
        assert spec.checkpoint.revision == known(spec).revision


@on_the_hub
def test_the_texts_are_pinned_and_their_files_can_be_read(spec: Spec) -> None:
    for source in texts(spec):
        commit, paths = DATASETS[str(source.dataset)]
        assert source.revision == commit
        files = [HubFile(path=path, size_bytes=1, blob_id="0" * 40) for path in paths]
        (found,) = split_files(files, str(source.split), where="")
        assert found.path.endswith(f"{source.split}.jsonl")


@on_the_hub
def test_calibration_and_judging_never_read_the_same_texts(spec: Spec) -> None:
    heldout, *calibration = texts(spec)
    assert heldout.dataset not in {source.dataset for source in calibration}


@on_the_hub
def test_a_host_of_eight_gpus_can_judge_every_variant(spec: Spec) -> None:
    for variant in resolve_variants(spec):
        assert variant.devices <= GPUS_OF_A_HOST


@on_the_hub
def test_a_release_waits_for_one_kind_of_host_only(spec: Spec) -> None:
    """No host has all of the targets, so what is required must be buildable on one."""
    required = {variant.target.name for variant in resolve_variants(spec) if variant.required}
    assert len(required) == 1


def test_both_kinds_and_the_recipes_of_each_generation_are_shipped() -> None:
    variants = {one.name: one for one in resolve_variants(SHIPPED["llama-3.1-8b-instruct"])}
    made = {
        name: (one.target.name, one.engine.kind, one.quantization.recipe, one.devices)
        for name, one in variants.items()
    }
    assert made == {
        "h100": ("h100-sxm", "trt-plan", "fp8", 1),
        "h100-tp2": ("h100-sxm", "trt-plan", "fp8", 2),
        "h200": ("h200", "trt-plan", "fp8", 1),
        "l40s": ("l40s", "trt-plan", "int4_awq", 1),
        "a100": ("a100-80gb", "trt-plan", "int8_smoothquant", 1),
        "b200": ("b200", "trtllm-torch", "nvfp4", 1),
    }


def test_the_commands_list_and_validate_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert specs.validate() == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == list(SHIPPED)
    assert specs.list_all(json=True) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(SHIPPED)
    assert {one["revision"] for one in listed if one["name"] != DEMO} == {
        spec.checkpoint.revision for spec in ON_THE_HUB
    }
