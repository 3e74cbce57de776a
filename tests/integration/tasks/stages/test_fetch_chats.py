"""Conversations of a dataset become texts of a tree, by the template of the spec's checkpoint."""

import json
from pathlib import Path

from support.checkpoints.repositories import sharded_model, write_repo
from support.paths import E2E_SPEC
from support.servers.hub_faults import faulty_hub

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import TextSource, load_spec
from tasks.hub import TEXTS_FILE, HubAccess, parse_texts
from tasks.runs import Pipeline
from tasks.stages import Sources
from tasks.stages.fetch import FetchTexts

TEMPLATE = "{% for one in messages %}[{{ one.role }}: {{ one.content }}]{% endfor %}"


def test_a_split_of_conversations_is_fetched_with_the_template_and_without_weights(
    store: Store, tmp_path: Path
) -> None:
    (sharded_model(tmp_path / "hub") / "chat_template.jinja").write_text(TEMPLATE)
    talks = [{"messages": [{"role": "user", "content": f"Hi {number}"}]} for number in range(3)]
    lines = "".join(json.dumps(talk) + "\n" for talk in talks) + '{"messages": null}\n'
    write_repo(tmp_path / "hub" / "datasets" / "acme" / "talks", {"train/00.jsonl": lines}, {})
    said: list[str] = []
    with faulty_hub(tmp_path / "hub") as hub:
        commits = {name: repo.commit for (_, name), repo in hub.repos.items()}
        named = {"repo": "acme/tiny", "revision": commits["acme/tiny"], "track": False}
        spec = load_spec(E2E_SPEC)
        spec = spec.model_copy(update={"checkpoint": spec.checkpoint.model_copy(update=named)})
        dataset = {"dataset": "acme/talks", "revision": commits["acme/talks"], "split": "train"}
        source = TextSource.model_validate(dataset | {"text_field": "messages", "samples": 3})
        access = HubAccess(endpoint=hub.url, cache_dir=tmp_path / "hf-cache", timeout_s=20)
        pipeline = Pipeline(Settings(), store, say=said.append)
        made = FetchTexts(spec, "heldout", source).run(pipeline, Sources(spec, access))
        assert hub.count("GET", "*.safetensors") == 0
    texts = {text.text for text in parse_texts(store.read_file(made.tree, TEXTS_FILE))}
    assert texts == {f"[user: Hi {number}]" for number in range(3)}
    assert any("rows left out, no text: 1 " in line for line in said)
