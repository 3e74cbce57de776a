"""Tasks in specs: what their rules refuse, on which line, and what they let pass."""

from pathlib import Path

import pytest
from support.specs.text import GOOD, OTHER_COMMIT, edited, problems_in

from engine_specs.spec import read_spec, template_fields

PLACE = "  speed:\n"
CHOICE = f"""\
  tasks:
    - name: arc
      dataset: owner/questions
      revision: {OTHER_COMMIT[::-1]}
      split: test
      samples: 500
      form: multiple-choice
      prompt: "Question: {{question}}\\nAnswer:"
      options_field: choices.text
      labels_field: choices.label
      label_field: answerKey
      max_loss: 0.02
"""
SUMS = """\
    - name: sums
      path: sums.jsonl
      samples: 100
      form: exact-match
      prompt: "{a} + {b} ="
      chat: true
      answer_field: sum
      max_tokens: 8
      stop: ["\\n"]
      extract: "-?[0-9]+"
      max_loss: 0.05
"""


def with_tasks(text: str = CHOICE + SUMS) -> str:
    return edited((PLACE, text + PLACE))


def test_tasks_are_read() -> None:
    arc, sums = read_spec(with_tasks(), Path("tiny.yaml")).validation.tasks
    assert (arc.length_normalization, arc.option_prefix, arc.chat, arc.second_opinion) == (
        "none",
        " ",
        False,
        False,
    )
    assert arc.prompt == "Question: {question}\nAnswer:"
    assert (sums.stop, sums.normalize, sums.confidence) == (("\n",), ("strip",), 0.95)


def test_a_spec_without_tasks_is_the_same_as_before_there_were_any() -> None:
    spec = read_spec(GOOD, Path("tiny.yaml"))
    assert "tasks" not in spec.model_dump()["validation"]


@pytest.mark.parametrize(
    ("old", "new", "field", "found", "accepted"),
    [
        ("      options_field: choices.text\n", "", "[0].options_field", "", "with form: multiple-choice"),
        ("      label_field: answerKey\n", "", "[0].label_field", "", "required with form: multiple-choice"),
        ("      answer_field: sum\n", "", "[1].answer_field", "", "required with form: exact-match"),
        ("      max_tokens: 8\n", "", "[1].max_tokens", "", "required with form: exact-match"),
        ("split: test", "split: test\n      stop: [x]", "[0].stop", "('x',)", "only form exact-match reads"),
        ("chat: true", "label_field: x", "[1].label_field", "'x'", "only form multiple-choice reads it"),
        ("name: sums", "name: arc", "[1].name", "'arc'", "a unique name; tasks[0] has this one"),
        ('"{a} + {b} ="', '"What?"', "[1].prompt", "'What?'", "a template that names a field"),
        ('"{a} + {b} ="', '"{a} {"', "[1].prompt", "'{a} {'", "braces of its own are doubled"),
        ('"{a} + {b} ="', '"{} ?"', "[1].prompt", "'{} ?'", "names of fields"),
        ('"{a} + {b} ="', '"{a[0]} ?"', "[1].prompt", "'{a[0]} ?'", "names of fields"),
        ('"{a} + {b} ="', '"{a!r:5} ?"', "[1].prompt", "'{a!r:5} ?'", "names of fields"),
        ('"-?[0-9]+"', '"["', "[1].extract", "'['", "a regular expression of Python"),
        ('"-?[0-9]+"', '"(a)(b)"', "[1].extract", "2 groups", "at most one"),
        ("      path: sums.jsonl\n", "", "[1]", "neither dataset nor path", "a dataset on the Hub or"),
        ("      split: test\n", "", "[0].split", "", "a dataset on the Hub needs its split"),
        (OTHER_COMMIT[::-1], "main", "[0].revision", "'main'", "only together with track: true"),
        ("form: exact-match", "form: guess", "[1].form", "'guess'", "multiple-choice, exact-match"),
        ("chat: true", "chat: true\n      second_opinion: true", "[1].second_opinion", "true", "with chat"),
        ("max_loss: 0.05", "max_loss: 5", "[1].max_loss", "the number 5", "less than 1"),
    ],
)
def test_what_is_wrong_is_the_only_problem_and_on_the_lines_of_its_task(
    old: str, new: str, field: str, found: str, accepted: str
) -> None:
    tasks = CHOICE + SUMS
    assert tasks.count(old) == 1
    text = with_tasks(tasks.replace(old, new))
    (problem,) = problems_in(text)
    assert (problem.field, problem.found) == (f"validation.tasks{field}", found)
    assert accepted in problem.accepted
    begins = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith("    - name:")]
    assert begins[int(field[1])] <= problem.line < [*begins, 99][int(field[1]) + 1]


def test_fields_of_a_template_are_named_in_order() -> None:
    assert template_fields("{{x}} {a.b}: {c}?") == ("a.b", "c")
