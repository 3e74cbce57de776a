"""How much faster an engine may be hoped to be, before anything is compiled."""

import pytest
from support.paths import E2E_SPEC

from engine_specs.spec import Speculative, read_spec, resolve_variants
from engine_specs.tables import load_kinds
from tasks.stages.baseline import hoped_speedup


@pytest.mark.parametrize("tokens", [3, 64])
def test_every_drafted_token_may_be_accepted(tokens: int) -> None:
    (variant,) = resolve_variants(read_spec(E2E_SPEC.read_text(), E2E_SPEC))
    kind = load_kinds()[variant.engine.kind].hoped_speedup
    assert hoped_speedup(variant) == kind
    drafting = variant.model_copy(update={"speculative": Speculative(method="ngram", tokens=tokens)})
    hoped = hoped_speedup(drafting)
    assert kind.ratio < hoped.ratio <= min(100, kind.ratio * (1 + tokens))
    assert hoped.ratio == pytest.approx(min(kind.ratio * (1 + tokens), 100))
    assert kind.source in hoped.source
