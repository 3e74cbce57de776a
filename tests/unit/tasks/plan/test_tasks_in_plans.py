"""Plans of specs with tasks: what is fetched, and what is asked of both sides."""

from support.judging.tasks import choosing, writing
from support.plans.planning import installed

from engine_specs.spec import Spec, load_spec, resolve_variants
from tasks.plan.commands import stage_work
from tasks.stages import Node, SpecGraph

TASKS = (choosing(max_loss=0.02), writing())


def stages_of(spec: Spec) -> dict[str, Node]:
    return {node.title: node for node in SpecGraph(spec, resolve_variants(spec))}


def demo() -> Spec:
    spec = load_spec("demo")
    return spec.model_copy(update={"validation": spec.validation.model_copy(update={"tasks": TASKS})})


def test_questions_are_fetched_before_anything_is_measured() -> None:
    titles = list(stages_of(demo()))
    assert titles[:4] == ["fetch checkpoint", "fetch heldout", "fetch task-fruit", "fetch task-sums"]
    assert titles[4].startswith("baseline")
    assert len(titles) == len(stages_of(load_spec("demo"))) + 2


def test_a_plan_shows_rows_fields_and_limits() -> None:
    nodes = stages_of(demo())
    fetched = stage_work(nodes["fetch task-fruit"], installed, None)
    assert fetched.params["options_field"] == "options"
    assert "max_loss" not in fetched.params, "another limit needs no other rows"
    measured = stage_work(nodes["measure cpu-int8"], installed, None)
    fruit, sums = measured.params["tasks"]
    assert (fruit["task"]["max_loss"], fruit["items_sha256"]) == (0.02, "known after fetch task-fruit")
    assert sums["asked"] == "forced-option-tokens-or-greedy-text/1"
    assert measured.inputs["task-sums"] == "<tree:task-sums>"
    judged = stage_work(nodes["judge cpu-int8"], installed, None)
    assert [one["name"] for one in judged.params["tasks"]] == ["fruit", "sums"]
