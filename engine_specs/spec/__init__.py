"""The spec: its models, its rules, and the variants that it resolves to.

Promises: a loaded spec is valid by itself; whether its checkpoint can be built is for `preflight` to say.
"""

from engine_specs.spec.load import list_specs, load_spec, read_spec
from engine_specs.spec.models import Economics, Spec
from engine_specs.spec.resolve import ResolvedVariant, resolve_variants
from engine_specs.spec.rules import READY_MADE, needs_calibration
from engine_specs.spec.schema import spec_json_schema
from engine_specs.spec.speculative import Draft, Speculative
from engine_specs.spec.task_score import Task, template_fields
from engine_specs.spec.text_source import RowSource, TextSource
from engine_specs.spec.validation import AccuracyGate, SpeedGate, VllmConfiguration
from engine_specs.spec.variant import QuantizedSource, RecipeFile, RecipeSearch, Shape
from engine_specs.spec.workload import Arrivals, Lengths, Slo, Workload

__all__ = [
    "READY_MADE",
    "AccuracyGate",
    "Arrivals",
    "Draft",
    "Economics",
    "Lengths",
    "QuantizedSource",
    "RecipeFile",
    "RecipeSearch",
    "ResolvedVariant",
    "RowSource",
    "Shape",
    "Slo",
    "Spec",
    "Speculative",
    "SpeedGate",
    "Task",
    "TextSource",
    "VllmConfiguration",
    "Workload",
    "list_specs",
    "load_spec",
    "needs_calibration",
    "read_spec",
    "resolve_variants",
    "spec_json_schema",
    "template_fields",
]
