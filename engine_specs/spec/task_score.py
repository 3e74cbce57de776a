"""Tasks: questions with known answers, on which the engine may answer little less correctly than vLLM.

A prompt is a template that names fields of a row, such as `Question: {question}\\nAnswer:`. Of a field that
holds an object, a dot reaches inside: `choices.text`.
"""

from string import Formatter
from typing import Annotated, Literal

from pydantic import Field

from engine_specs.reading import Slug
from engine_specs.spec.text_source import RowSource

Form = Literal["multiple-choice", "exact-match"]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]
StopText = Annotated[str, Field(min_length=1, max_length=100)]
# vLLM and the AOT server take no more of them in one request.
MOST_STOPS = 4
CONFIDENCE = 0.95

FORM_FIELDS: dict[Form, tuple[str, ...]] = {
    "multiple-choice": ("options_field", "label_field"),
    "exact-match": ("answer_field", "max_tokens"),
}
"""Fields that each form requires, and that the other one must not have."""


class Task(RowSource):
    """One set of questions: its rows, how they are asked, and how much worse the engine may be."""

    name: Slug = Field(description="Name in reports, such as arc-easy; unique in the spec.")
    form: Form = Field(
        description="multiple-choice: the likeliest option is the answer; exact-match: what is generated is."
    )
    prompt: str = Field(
        min_length=1,
        description="What is asked, with fields of the row in braces, such as {question}; braces of its own "
        "are doubled.",
    )
    chat: bool = Field(
        default=False,
        description="Ask it as the message of a user, through the chat template of the checkpoint.",
    )
    max_loss: float = Field(
        gt=0,
        lt=1,
        description="Share of questions by which the engine may be worse than vLLM: 0.01 is one point.",
    )
    confidence: float = Field(
        default=CONFIDENCE,
        gt=0.5,
        lt=1,
        description="Confidence of the bound of that loss that must lie within it.",
    )
    options_field: FieldName | None = Field(
        default=None, description="multiple-choice: the field that holds the options, a list of texts."
    )
    label_field: FieldName | None = Field(
        default=None,
        description="multiple-choice: the field that names the right option: its text, its name in "
        "labels_field, or its index from 0.",
    )
    labels_field: FieldName | None = Field(
        default=None,
        description="multiple-choice: the field that holds the names of the options, such as A, B, C, D.",
    )
    option_prefix: str = Field(
        default=" ",
        max_length=100,
        description="multiple-choice: what comes between prompt and option; with chat usually nothing.",
    )
    length_normalization: Literal["none", "bytes"] = Field(
        default="none",
        description="multiple-choice: what the log-likelihood of an option is divided by: nothing, or its "
        "UTF-8 bytes.",
    )
    answer_field: FieldName | None = Field(
        default=None, description="exact-match: the field that holds the answer, a text or a list of texts."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=100_000, description="exact-match: tokens that are generated, at most."
    )
    stop: Annotated[tuple[StopText, ...], Field(strict=False, max_length=MOST_STOPS)] = Field(
        default=(), description="exact-match: texts at which an answer ends."
    )
    normalize: Annotated[tuple[Literal["strip", "lower-case"], ...], Field(strict=False)] = Field(
        default=("strip",),
        description="exact-match: what does not count in a comparison: white space at the ends, case, "
        "punctuation.",
    )
    extract: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description="exact-match: a regular expression (Python's). Its first match, or the group in it, is "
        "the answer, in what is generated as in the dataset. What is generated without a match is wrong.",
    )
    second_opinion: bool = Field(
        default=False,
        description="Let lm-evaluation-harness score the same rows on both sides as well. It is shown next "
        "to our figures, and decides nothing.",
    )


def template_fields(prompt: str) -> tuple[str, ...]:
    """Return the fields that a prompt names, in order; raise ValueError if it is not a template."""
    names = []
    for _, name, options, conversion in Formatter().parse(prompt):
        if name is None:
            continue
        if not name or options or conversion or set(name) & set("[]"):
            raise ValueError(f"{{{name}}} with an index, a format or no name")
        names.append(name)
    return tuple(names)
