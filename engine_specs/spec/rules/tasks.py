"""Rules between the fields of tasks: each form has its own, and what is a pattern has to be one."""

import re
from collections.abc import Iterator

from engine_specs.reading import Loc
from engine_specs.spec.rules.violation import UNREADABLE, View, Violation
from engine_specs.spec.task_score import FORM_FIELDS, template_fields

TASKS: Loc = ("validation", "tasks")
# Fields that only one form reads, besides those that it requires.
OPTIONAL_FIELDS = {
    "multiple-choice": ("labels_field", "option_prefix", "length_normalization"),
    "exact-match": ("stop", "normalize", "extract"),
}


def task_violations(view: View) -> Iterator[Violation]:
    """Yield every broken rule of the tasks of a spec."""
    names: dict[str, int] = {}
    for index, task in enumerate(view.get(*TASKS) or ()):
        one, loc = View(task), (*TASKS, index)
        name = one.get("name")
        if name in names:
            accepted = f"a unique name; tasks[{names[name]}] has this one"
            yield Violation((*loc, "name"), repr(name), accepted)
        elif name is not None:
            names[name] = index
        yield from _form(one, loc)
        yield from _prompt(one, loc)
        yield from _extract(one, loc)
        if one.get("second_opinion") and one.get("chat"):
            accepted = "false with chat: true: the other tool asks without a chat template"
            yield Violation((*loc, "second_opinion"), "true", accepted)


def _form(task: View, loc: Loc) -> Iterator[Violation]:
    form = task.get("form")
    if form not in FORM_FIELDS:
        return
    for key in FORM_FIELDS[form]:
        if task.lacks(key):
            yield Violation((*loc, key), "", f"required with form: {form}")
    for other, required in FORM_FIELDS.items():
        for key in (*required, *OPTIONAL_FIELDS[other]):
            if other != form and not task.lacks(key):
                yield Violation((*loc, key), repr(task.get(key)), f"nothing: only form {other} reads it")


def _prompt(task: View, loc: Loc) -> Iterator[Violation]:
    prompt = task.get("prompt")
    if prompt is None or prompt is UNREADABLE:
        return
    try:
        if template_fields(prompt):
            return
        accepted = "a template that names a field of the row in braces, such as {question}"
    except ValueError as error:
        accepted = (
            f"a template whose braces hold names of fields, such as {{question}}; braces of its own are "
            f"doubled ({error})"
        )
    yield Violation((*loc, "prompt"), repr(prompt), accepted)


def _extract(task: View, loc: Loc) -> Iterator[Violation]:
    pattern = task.get("extract")
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        yield Violation((*loc, "extract"), repr(pattern), f"a regular expression of Python ({error})")
        return
    if groups > 1:
        yield Violation((*loc, "extract"), f"{groups} groups", "at most one: it is the answer")
