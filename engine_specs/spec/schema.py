"""The JSON Schema (2020-12) of spec files, for editors and other tools.

It covers what a schema can express: keys, types, bounds, descriptions, known names. The rules between fields,
and that merged variants are whole, are checked only by `load.load_spec`.
"""

from typing import Any

from engine_specs.spec.models import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def spec_json_schema() -> dict[str, Any]:
    """Return the schema as plain data, equal from call to call."""
    schema = Spec.model_json_schema()
    return {"$schema": DIALECT, "title": "enginery spec", **{k: v for k, v in schema.items() if k != "title"}}
