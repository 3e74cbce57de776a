"""`enginery specs list|validate|schema`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from artifacts.settings import load_settings
from engine_specs.reading import SpecInvalid, SpecNotFound
from engine_specs.spec import Spec, list_specs, load_spec, resolve_variants
from flows.cli.console import emit, emit_json, emit_table, say

NONE = "there are no specs"

app = App(name="specs", help="The specs: list, validate, schema.", help_format="markdown")


@app.command(name="list")
def list_all(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False
) -> int:
    """List the specs.

    Exit codes: 0 done; 2 a spec cannot be read (the others are listed).

    For example:

        enginery specs list
        enginery specs list --json
    """
    specs_dir = load_settings().specs_dir
    specs, broken = _read(_all(specs_dir), specs_dir)
    if json:
        emit_json([_summary(spec) for spec in specs])
    else:
        rows = [tuple(str(value) for value in _row(spec)) for spec in specs]
        emit_table(
            ("name", "version", "checkpoint", "variants", "channels"),
            rows,
            empty=NONE,
            wraps="variants",
        )
    for error in broken:
        say(str(error))
    return SpecInvalid.exit_code if broken else 0


@app.command
def validate(*specs: Annotated[str, Parameter(help="Names or files; default: every spec.")]) -> int:
    """Check specs and print every problem of every file.

    Exit codes: 0 all specs are valid; 2 there is a problem, or no such spec.

    For example:

        enginery specs validate
        enginery specs validate demo ./my-spec.yaml
    """
    specs_dir = load_settings().specs_dir
    valid, broken = _read(specs or _all(specs_dir), specs_dir)
    if not valid and not broken:
        say(NONE)
    for spec in valid:
        variants = ", ".join(variant.name for variant in resolve_variants(spec))
        emit(f"{spec.name}: ok ({variants})")
    for error in broken:
        say(str(error))
    return SpecInvalid.exit_code if broken else 0


@app.command
def schema() -> None:
    """Print the JSON Schema of spec files, for editors.

    Exit codes: 0 done.

    For example:

        enginery specs schema > enginery-spec.schema.json
    """
    from engine_specs.spec import spec_json_schema

    emit_json(spec_json_schema())


def _all(specs_dir: Path | None) -> tuple[str, ...]:
    """Return the names by which other commands ask for the specs of the directory."""
    return tuple(path.stem for path in list_specs(specs_dir))


def _read(
    names: Sequence[str], specs_dir: Path | None
) -> tuple[list[Spec], list[SpecInvalid | SpecNotFound]]:
    """Read all specs, even if some are invalid; return the valid ones, and the errors of the others."""
    valid: list[Spec] = []
    broken: list[SpecInvalid | SpecNotFound] = []
    for name in names:
        try:
            valid.append(load_spec(name, specs_dir))
        except (SpecInvalid, SpecNotFound) as error:
            broken.append(error)
    return valid, broken


def _summary(spec: Spec) -> dict[str, object]:
    return {
        "name": spec.name,
        "version": spec.version,
        "checkpoint": spec.checkpoint.repo,
        "revision": spec.checkpoint.revision,
        "variants": [variant.name for variant in resolve_variants(spec)],
        "channels": list(spec.channels),
        "path": str(spec.path),
    }


def _row(spec: Spec) -> tuple[str, ...]:
    variants = ", ".join(f"{variant.name} ({variant.target.name})" for variant in resolve_variants(spec))
    return spec.name, spec.version, spec.checkpoint.repo, variants, ", ".join(spec.channels)
