"""Records that hold their own invariants, and the grammar of references."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.stores.releases import NOTHING, RECIPE, release, variant

from artifacts.canonical import digest_of
from artifacts.errors import BadReference
from artifacts.releases import parse_reference, version_key
from artifacts.releases.references import Reference
from artifacts.releases.releases import VERSION_PATTERN
from artifacts.store import Action, Measurement, new_measurement


def test_the_client_modules_load_no_s3_library() -> None:
    code = "import sys, artifacts.releases.pull; sys.exit(bool({'boto3', 'botocore'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_action_has_the_fingerprint_of_its_document() -> None:
    facts = {"stage": "build", "document": {"a": [1, 2.5]}, "spec": "demo", "variant": "v2", "tree": NOTHING}
    rest = {"duration_s": 1.0, "host": "here", "created_at": datetime.now(UTC)}
    action = Action(fingerprint=digest_of(facts["document"]), **facts, **rest)
    assert Action.model_validate_json(action.model_dump_json()) == action
    with pytest.raises(ValidationError, match="not the digest of its document"):
        Action(fingerprint=NOTHING, **facts, **rest)


def test_a_measurement_has_the_key_of_its_document_and_an_id_of_its_own() -> None:
    first, second = (
        new_measurement("judged", {"a": 1}, {"b": 2}, conclusive=True, device_s=1.0) for _ in range(2)
    )
    assert first.key == second.key == digest_of({"a": 1})
    assert first.id != second.id
    with pytest.raises(ValidationError, match="not the digest"):
        Measurement(**{**first.model_dump(), "document": {"a": 2}})


@pytest.mark.parametrize(
    ("verdict", "changes"),
    [
        ("compile", {"tree": None, "checkpoint_tree": NOTHING}),
        ("stay-on-vllm", {"serve": None}),
        ("rejected", {"tree": NOTHING, "serve": RECIPE}),
    ],
)
def test_exactly_the_deployable_verdicts_come_with_something_to_deploy(
    verdict: str, changes: dict[str, object]
) -> None:
    with pytest.raises(ValidationError, match="tree and serve must be set for compile and stay-on-vllm only"):
        variant("v2", verdict=verdict, **changes)


def test_variants_of_a_release_have_names_of_their_own() -> None:
    with pytest.raises(ValidationError, match="repeat"):
        release(variant("v2"), variant("v2"))
    with pytest.raises(KeyError):
        release(variant("v2")).variant("v3")


@pytest.mark.parametrize("version", ["1.4", "1.4.x", "01.4.2", "1.4.2-rc1", "", "1.4.2\n"])
def test_versions_are_three_plain_numbers(version: str) -> None:
    with pytest.raises(ValidationError):
        release(variant("v2"), version=version)


def test_versions_sort_as_numbers() -> None:
    assert sorted(["1.10.0", "1.9.2", "1.9.10"], key=version_key) == ["1.9.2", "1.9.10", "1.10.0"]


@pytest.mark.parametrize(
    ("text", "name", "version", "channel"),
    [
        ("demo", "demo", None, None),
        ("demo:nightly", "demo", None, "nightly"),
        ("llama-3.1-8b@1.4", "llama-3.1-8b", "1.4", None),
        ("demo@10.0.12", "demo", "10.0.12", None),
    ],
)
def test_references_are_read(text: str, name: str, version: str | None, channel: str | None) -> None:
    assert parse_reference(text) == Reference(name=name, version=version, channel=channel)


@pytest.mark.parametrize(
    "text",
    ["", "Demo", "demo@", "demo:", "demo@1", "demo@1.4.2.3", "demo@latest", "a b", "demo@1.4:x", "../x"],
)
def test_what_is_no_reference_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadReference, match=r"name@1\.4") as caught:
        parse_reference(text)
    assert caught.value.exit_code == 2


@given(
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,12}", fullmatch=True),
    st.from_regex(VERSION_PATTERN, fullmatch=True),
)
def test_every_published_version_can_be_referred_to(name: str, version: str) -> None:
    assert parse_reference(f"{name}@{version.strip()}").version == version.strip()


def test_a_copy_has_no_field_that_its_record_lacks() -> None:
    recipe = RECIPE.model_copy(update={"model": "another"})
    assert recipe.model == "another"
    with pytest.raises(TypeError, match="ServeCommand has no field modle"):
        recipe.model_copy(update={"modle": "a typo"})
