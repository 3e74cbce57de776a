"""Reading specs: every problem of a file at once, each with its line.

A file is read in three passes that do not stop each other: the schema of what is written; the schema of
each variant merged over the defaults; the rules between fields, over all values that could be read. A `Spec`
is made only if none of them finds anything. No environment variable is read.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine_specs.reading import (
    PACKAGE,
    Document,
    Loc,
    Problem,
    SpecInvalid,
    SpecNotFound,
    StrictFrozen,
    dotted,
    explain,
    merged,
    origin,
    parse,
    shown,
    suggestion,
)
from engine_specs.spec.models import INCONSISTENT, Spec
from engine_specs.spec.rules import UNREADABLE, violations
from engine_specs.spec.variant import VariantSettings

SUFFIXES = (".yaml", ".yml")


def list_specs(specs_dir: Path | None = None) -> tuple[Path, ...]:
    """Return the spec files of a directory (default: the packaged specs), sorted by name; none is opened.

    Raises:
        SpecNotFound: there is no such directory.
    """
    directory = specs_dir or PACKAGE
    if not directory.is_dir():
        raise SpecNotFound(
            f"no directory of specs at {directory}\n  fix: set ENGINERY_SPECS_DIR to one that exists"
        )
    return tuple(sorted(path for path in directory.iterdir() if path.suffix in SUFFIXES and path.is_file()))


def load_spec(name_or_path: str | Path, specs_dir: Path | None = None) -> Spec:
    """Read and check one spec.

    Args:
        name_or_path: a path (with a slash, or ending in .yaml or .yml), or the name of a spec in `specs_dir`.
        specs_dir: directory of specs; default: the packaged ones.

    Raises:
        SpecNotFound: no such file or name.
        SpecInvalid: with every problem of the file.
    """
    path, name = _find(name_or_path, specs_dir)
    spec = read_spec(_text(path), path)
    if name is not None and spec.name != name:
        fix = f"name the file {spec.name}{path.suffix}, or set name: {name} in it"
        raise SpecNotFound(f"{path} holds the spec {spec.name!r}, not {name!r}\n  fix: {fix}")
    return spec


def read_spec(text: str, path: Path) -> Spec:
    """Make a spec from YAML text; `path` is its file, for messages and for files that the spec names.

    Raises:
        SpecInvalid: with every problem of the text.
    """
    document = parse(text)
    problems = problems_of(document)
    if problems:
        raise SpecInvalid(str(path), problems)
    return Spec.model_validate(document.value).at(path.absolute())


def problems_of(document: Document) -> tuple[Problem, ...]:
    """Return everything that is wrong with a spec, in the order of its lines."""
    if not isinstance(document.value, dict):
        found = "an empty file" if document.value is None else shown(document.value)
        return document.problems or (
            Problem("spec", found, "a mapping with name, version, checkpoint, ...", 1),
        )
    schema_problems, readable = _schema_pass(document)
    variant_problems, variants = _variant_pass(document, readable)
    rule_problems = [
        Problem(dotted(v.loc), v.found, v.accepted, document.mark(v.loc).line)
        for v in violations(readable, variants)
    ]
    problems = [*document.problems, *schema_problems, *variant_problems, *rule_problems]
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.field)))


def _schema_pass(document: Document) -> tuple[list[Problem], dict[str, Any]]:
    errors = [e for e in _errors(Spec, document.value) if e["type"] != INCONSISTENT]
    readable = without(document.value, {e["loc"] for e in errors})
    return [explain(e, Spec, document) for e in errors], readable


def _variant_pass(
    document: Document, readable: dict[str, Any]
) -> tuple[list[Problem], list[dict[str, Any] | None]]:
    problems: list[Problem] = []
    variants: list[dict[str, Any] | None] = []
    written = readable.get("variants")
    defaults = readable.get("defaults", {})
    for index, overrides in enumerate(written if isinstance(written, tuple) else ()):
        if not isinstance(overrides, dict) or not isinstance(defaults, dict):
            variants.append(None)
            continue
        whole = merged(defaults, overrides)
        errors = [e for e in _errors(VariantSettings, whole) if e["input"] is not UNREADABLE]
        for error in errors:
            place = origin(error["loc"], index, defaults, overrides)
            problems.append(explain(error, VariantSettings, document, place))
        variants.append(without(whole, {e["loc"] for e in errors}))
    return problems, variants


def _errors(model: type[StrictFrozen], data: Any) -> list[ErrorDetails]:
    try:
        model.model_validate(data)
    except ValidationError as error:
        return [e for e in error.errors() if not _miscounted(e)]
    return []


def _miscounted(error: ErrorDetails) -> bool:
    """Whether a list only seems too short, because pydantic does not count the items that it refused."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def without(data: Any, refused: set[Loc], at: Loc = ()) -> Any:
    """Copy data with `UNREADABLE` in place of what was refused; lists keep their length and their indices."""
    if at in refused and at:
        return UNREADABLE
    if isinstance(data, dict):
        return {key: without(value, refused, (*at, key)) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(without(value, refused, (*at, i)) for i, value in enumerate(data))
    return data


def _find(name_or_path: str | Path, specs_dir: Path | None) -> tuple[Path, str | None]:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(SUFFIXES):
        path = Path(text)
        if not path.is_file():
            raise SpecNotFound(
                f"no spec file at {path}\n  fix: give the path of a YAML file, or the name of a spec"
            )
        return path, None
    files = {path.stem: path for path in list_specs(specs_dir)}
    if text not in files:
        names = ", ".join(files) or "none"
        fix = f"{suggestion(text, files)}specs there: {names}"
        raise SpecNotFound(f"no spec named {text!r}\n  where: {specs_dir or PACKAGE}\n  fix: {fix}")
    return files[text], text


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem("YAML", f"the byte 0x{data[error.start]:02x}", "text in UTF-8", line)
        raise SpecInvalid(str(path), (problem,)) from None
