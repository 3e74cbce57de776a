"""Holds a checkpoint's config.json against what the tool's model files read of it, before the tool starts.

Standard library only. The tool ends hours into a job, with an AttributeError that names no file, for a key
that it reads and that has no default; for a key whose default is another model's it builds another model.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.workers.common.io import Refusal
from tasks.workers.trt_plan.request import ConfigReads, TrtPlanAdmission

FIX = "quantize it again (enginery build --force); if that does not help, report it: the export is wrong"
ABSENT = object()


def require_readable(config: Mapping[str, Any], admission: TrtPlanAdmission) -> None:
    """Refuse a config.json that the tool would not read as the model that it describes.

    Args:
        config: of a TensorRT-LLM checkpoint.
        admission: what the tool's model files read.

    Raises:
        Refusal: no model file is known to read this architecture, or the file lacks something.
    """
    architecture = config["architecture"]
    reads = next((one for one in admission.reads if one.architecture == architecture), None)
    if reads is None:
        known = ", ".join(one.architecture for one in admission.reads)
        raise Refusal(
            "unsupported",
            f"no model file of the tool is known to read {architecture}",
            where="config.json",
            fix=f"choose a checkpoint of one of {known}",
        )
    found = [
        *_unreadable(config, reads),
        *_of_quantization(config, admission),
        *_of_rotary(config, admission),
    ]
    if found:
        what = f"{reads.file} would not read config.json as this model: {'; '.join(found)}"
        raise Refusal("input", what, where="config.json of the checkpoint", fix=FIX)


def _unreadable(config: Mapping[str, Any], reads: ConfigReads) -> Iterator[str]:
    for key in reads.required:
        if _value(config, key) is ABSENT:
            yield f"it reads {key}, which is absent and has no default"
    for key in reads.stated:
        if _value(config, key) is ABSENT:
            yield f"{key} is absent, and its default may be another model's"
    for key, right in reads.values.items():
        value = _value(config, key)
        if value is not ABSENT and value != right:
            yield f"{key} is {value!r}, not {right!r}"


def _of_quantization(config: Mapping[str, Any], admission: TrtPlanAdmission) -> Iterator[str]:
    if unknown := sorted(set(config.get("quantization") or {}) - set(admission.quantization_keys)):
        yield f"quantization has keys that the tool refuses: {', '.join(unknown)}"


def _of_rotary(config: Mapping[str, Any], admission: TrtPlanAdmission) -> Iterator[str]:
    scaling = config.get("rotary_scaling")
    if scaling is None:
        return
    named = scaling.get("type", scaling.get("rope_type"))
    if named not in admission.rotary_scalings:
        yield f"rotary_scaling is of type {named!r}, not one of {', '.join(admission.rotary_scalings)}"


def _value(config: Mapping[str, Any], key: str) -> Any:
    """The value at a key, whose dots lead into mappings; ABSENT if there is none."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ABSENT
        value = value[part]
    return value
