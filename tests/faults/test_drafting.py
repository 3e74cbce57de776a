"""An engine of kind vllm with its draft below it: real vLLM drafts, from the path that the launcher gives it.

It loads two models, so it is not part of `make test`, where vLLM drafts n-grams.
"""

import shutil
from pathlib import Path

import pytest
from support.engines.drafting import copy_demo, drafting, require_own_answers

from engine_specs.spec import Draft, Speculative
from tasks.kinds import kind_named
from tasks.workers.common.sources import closure, write_sources
from tasks.workers.vllm.request import SERVER

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(3600)]


def test_the_tokens_of_a_draft_are_accepted_and_change_no_answer(tmp_path: Path) -> None:
    asked = Speculative(method="draft_model", tokens=3, draft=Draft(repo="acme/demo", revision="d" * 40))
    tree = tmp_path / "engine"
    copy_demo(tree)
    shutil.copytree(tree, tree / "draft")
    write_sources(closure(SERVER), tree / "server")
    serve = kind_named("vllm").serve_command(drafting(asked))
    require_own_answers(serve, tree, tmp_path / "server.log")
