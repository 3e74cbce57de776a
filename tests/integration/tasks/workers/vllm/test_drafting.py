"""vLLM drafts n-grams on a processor, served for reference, and answers what it would anyway."""

from pathlib import Path

import pytest
from support.engines.drafting import copy_demo, drafting, require_own_answers

from engine_specs.spec import Speculative
from tasks.kinds import vllm_serve_command, vllm_settings

pytestmark = pytest.mark.toolchain


def test_drafted_n_grams_are_accepted_and_change_no_answer(tmp_path: Path) -> None:
    asked = Speculative(method="ngram", tokens=3)
    copy_demo(tmp_path / "tree")
    settings = {"enforce_eager": True, "dtype": "float32", **vllm_settings(asked, "{tree}")}
    require_own_answers(
        vllm_serve_command(settings, drafting(asked)), tmp_path / "tree", tmp_path / "server.log"
    )
