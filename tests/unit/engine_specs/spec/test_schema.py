"""The JSON Schema: valid itself, described throughout, and of one mind with the loader on shipped specs."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.specs.text import GOOD, edited

from engine_specs.reading import parse
from engine_specs.spec import list_specs, load_spec, spec_json_schema
from engine_specs.spec.schema import DIALECT
from engine_specs.tables import load_recipes, load_targets


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for owner, model in {"Spec": schema, **schema["$defs"]}.items():
        for name, field in model.get("properties", {}).items():
            yield f"{owner}.{name}", field


def test_the_schema_is_a_valid_schema_of_its_dialect() -> None:
    schema = spec_json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema == spec_json_schema()


@pytest.mark.parametrize("path", list_specs(), ids=lambda p: p.stem)
def test_shipped_specs_satisfy_it_and_load(path: Any) -> None:
    validator = Draft202012Validator(spec_json_schema())
    assert list(validator.iter_errors(plain(parse(path.read_text()).value))) == []
    assert load_spec(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_batch_size: 4", "max_batch_size: 0"),
        ("max_input_len: 192", "max_input: 192"),
        ("cpu-x86-64-v3", "cpu-x86-64-v9"),
        ("recipe: int8_weight_only", "recipe: int9"),
        ("  gpu_hour_usd: 0.1\n", ""),
        ('version: "1.4"', "version: 1.4"),
    ],
)
def test_it_refuses_what_a_schema_can_know(old: str, new: str) -> None:
    validator = Draft202012Validator(spec_json_schema())
    assert list(validator.iter_errors(plain(parse(GOOD).value))) == []
    assert list(validator.iter_errors(plain(parse(edited((old, new))).value)))


def test_every_field_is_described_and_every_mapping_closed() -> None:
    schema = spec_json_schema()
    # A field that holds a model may leave its description to that model.
    models = {f"#/$defs/{name}": model for name, model in schema["$defs"].items()}
    described = {name: field | models.get(field.get("$ref"), {}) for name, field in properties(schema)}
    undescribed = [name for name, field in described.items() if not field.get("description")]
    assert undescribed == []
    assert [
        name for name, model in schema["$defs"].items() if model.get("additionalProperties") is not False
    ] == []


def test_editors_are_offered_the_known_names() -> None:
    fields = dict(properties(spec_json_schema()))
    assert fields["VariantOverrides.target"]["enum"] == sorted(load_targets())
    recipe = fields["VariantDefaultsQuantization.recipe"]["anyOf"][0]
    assert recipe["enum"] == sorted(load_recipes())


def test_what_a_variant_does_not_say_has_no_default_of_its_own() -> None:
    fields = dict(properties(spec_json_schema()))
    partial = [name for name in fields if name.startswith(("VariantDefaults", "VariantOverrides"))]
    assert [name for name in partial if "default" in fields[name]] == []
