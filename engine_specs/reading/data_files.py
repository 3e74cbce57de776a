"""Reading the package's own data files with the same care as specs: line numbers, no unknown keys."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from engine_specs.reading.errors import Problem, SpecInvalid
from engine_specs.reading.frozen import StrictFrozen
from engine_specs.reading.pydantic_errors import explain
from engine_specs.reading.yaml_tree import parse

PACKAGE = Path(__file__).parents[1]
TARGETS_FILE = PACKAGE / "data" / "targets.yaml"
RECIPES_FILE = PACKAGE / "data" / "recipes.yaml"
MEMORY_FILE = PACKAGE / "data" / "memory.yaml"
CONFIG_DEFAULTS_FILE = PACKAGE / "data" / "config_defaults.yaml"
REFERENCES_FILE = PACKAGE / "data" / "references.yaml"
MODEL_FILES_FILE = PACKAGE / "data" / "model_files.yaml"
LLM_ARGS_DIR = PACKAGE / "data" / "llm_args"
KINDS_DIR = PACKAGE / "kinds"

ModelT = TypeVar("ModelT", bound=StrictFrozen)


def read_data(path: Path, model: type[ModelT]) -> ModelT:
    """Read a YAML file into `model`.

    Raises:
        SpecInvalid: with every problem and its line.
    """
    document = parse(path.read_text(encoding="utf-8"))
    if document.problems:
        raise SpecInvalid(path.name, document.problems)
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise SpecInvalid(path.name, tuple(explain(e, model, document) for e in error.errors())) from None


def refuse_duplicates(file: Path, what: str, names: list[str]) -> None:
    """Raise SpecInvalid if a table names one thing twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecInvalid(file.name, (Problem(what, ", ".join(twice), f"each {what} once"),))
