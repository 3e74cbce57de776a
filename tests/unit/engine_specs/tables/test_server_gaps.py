"""What a kind's server lacks next to vLLM: the list that people read, against what the server refuses."""

from engine_specs.tables import load_kinds
from tasks.workers.completions_server.protocol.fields import CHAT, COMPLETION, NEUTRAL, NEUTRAL_CHAT


def test_every_field_that_the_server_refuses_is_on_the_list() -> None:
    refused = {name for gap in load_kinds()["aot-inductor"].server_lacks for name in gap.refused}
    assert set(NEUTRAL) | set(NEUTRAL_CHAT) == {name for name in refused if not name.startswith("/")} - {
        "messages"
    }


def test_a_field_is_either_honoured_or_refused() -> None:
    assert NEUTRAL.keys() & COMPLETION == set()
    assert NEUTRAL_CHAT.keys() & CHAT == set()
