"""Settings of the user that ran `up` reach the runs of the stack's worker."""

from typing import Any

import pytest

from artifacts.settings import Settings
from flows.stack.components.worker import _settings_environment


@pytest.mark.parametrize("placement", ["together", "shared", "in-turn"])
def test_a_forced_placement_reaches_the_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, placement: Any
) -> None:
    handed = _settings_environment(settings.model_copy(update={"placement": placement}))
    for name, value in handed.items():
        monkeypatch.setenv(name, value)
    assert Settings().placement == placement


def test_a_placement_that_is_not_forced_is_left_to_the_worker(settings: Settings) -> None:
    assert "ENGINERY_PLACEMENT" not in _settings_environment(settings)
