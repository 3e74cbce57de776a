"""What identifies the texts of a source."""

from typing import Any, cast

from support.plans.identity.documents import COMMIT, Pinned

from engine_specs.spec import Spec, TextSource, list_specs, load_spec
from tasks.stages import Inputs
from tasks.stages.fetch import FetchTexts

SPEC: Spec = next(load_spec(path) for path in list_specs() if path.stem == "qwen3-8b")


def document(**changes: Any) -> dict[str, Any]:
    """What identifies the texts of the held-out source of a shipped spec, changed."""
    source = SPEC.validation.accuracy.model_dump(include=set(TextSource.model_fields), exclude_none=True)
    node = FetchTexts(SPEC, "heldout", TextSource.model_validate(source | changes))
    sources = Pinned(SPEC, cast("Any", None))
    return dict(node.call(Inputs({}, {}), sources, cast("Any", None)).document)


def test_conversations_depend_on_the_checkpoint_whose_template_writes_them_and_other_texts_do_not() -> None:
    chats, texts = document(text_field="messages"), document(text_field="body")
    assert chats["request"]["chat_template_of"] == f"{SPEC.checkpoint.repo}@{COMMIT}"
    assert "chat_template_of" not in texts["request"]
    assert chats["worker"] != texts["worker"]
