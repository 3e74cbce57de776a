"""Rules about speculative decoding, as `spec` has them for the rest of a spec."""

from collections.abc import Iterator

from engine_specs.reading import is_commit
from engine_specs.spec.rules.violation import View, Violation
from engine_specs.tables import DRAFTED, KindFacts, load_kinds

WHERE = "speculative"


def speculative_violations(variant: View, spec: View) -> Iterator[Violation]:
    """Yield what keeps a variant from speculating, whatever its checkpoints are."""
    asked = View(variant.get(WHERE))
    if asked.data is None:
        return
    facts = load_kinds().get(variant.get("engine", "kind") or "")
    yield from _draft(asked)
    if facts is not None:
        yield from _kind(asked, facts)
        yield from _options_of_tasks(spec, facts)
    yield from _prompts(spec)
    yield from _pipeline(variant)
    yield from _tokens(asked, variant)


def _draft(asked: View) -> Iterator[Violation]:
    method, draft = asked.get("method"), View(asked.get("draft"))
    where, lacks = (WHERE, "draft"), asked.lacks("draft")
    if method in DRAFTED and lacks:
        yield Violation(where, "", f"required: {method} drafts with a checkpoint of its own: repo, revision")
    if method is not None and method not in DRAFTED and not lacks:
        source = "layers of the checkpoint itself" if method == "mtp" else "the text so far"
        yield Violation(where, "a mapping", f"nothing: {method} drafts with {source}")
    revision = draft.get("revision")
    if revision is not None and not is_commit(revision):
        accepted = "a commit of 40 hexadecimal digits: what drafts is part of the engine and may not change"
        yield Violation((*where, "revision"), repr(revision), accepted)


def _kind(asked: View, facts: KindFacts) -> Iterator[Violation]:
    method = asked.get("method")
    if method is None or facts.speculation(method) is not None:
        return
    able = [one.name for one in load_kinds().values() if one.speculation(method) is not None]
    own = ", ".join(row.method for row in facts.speculative)
    accepted = f"a method that {facts.name} has: {own}" if own else f"nothing: {facts.name} drafts no tokens"
    kinds = f"; or a kind that has it: {', '.join(able)}"
    yield Violation((WHERE, "method"), repr(method), accepted + kinds)


def _options_of_tasks(spec: View, facts: KindFacts) -> Iterator[Violation]:
    """Refuse tasks whose options a speculating server does not score."""
    forms = {View(one).get("form") for one in spec.get("validation", "tasks") or ()}
    if "multiple-choice" in forms and facts.scores_options:
        accepted = (
            "tasks of the form exact-match only: a speculating server takes no logit_bias, by which options "
            "are scored"
        )
        yield Violation((WHERE,), "a task of the form multiple-choice", accepted)


def _prompts(spec: View) -> Iterator[Violation]:
    if spec.get("workload", "prompts") == "random-ids":
        accepted = (
            "workload.prompts: text: how many drafted tokens are accepted depends on the text, and after "
            "random tokens it says nothing about users"
        )
        yield Violation((WHERE,), "workload.prompts: random-ids", accepted)


def _pipeline(variant: View) -> Iterator[Violation]:
    stages = variant.get("pipeline_parallel")
    if stages is not None and stages > 1:
        accepted = (
            "1 with speculative: TensorRT-LLM does not draft across a pipeline (its feature combination "
            "matrix), and vLLM only for some models and methods"
        )
        yield Violation(("pipeline_parallel",), str(stages), accepted)


def _tokens(asked: View, variant: View) -> Iterator[Violation]:
    drafted, batch = asked.get("tokens"), variant.get("shape", "max_batch_size")
    most = variant.get("shape", "max_num_tokens")
    if None in (drafted, batch, most) or batch * (drafted + 1) <= most:
        return
    accepted = (
        f"at least {batch * (drafted + 1)}: in one iteration, each of max_batch_size ({batch}) sequences has "
        f"a token and {drafted} drafted ones checked"
    )
    yield Violation(("shape", "max_num_tokens"), str(most), accepted)
