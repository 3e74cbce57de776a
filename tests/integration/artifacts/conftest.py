"""What the tests of tampering share."""

from pathlib import Path

import pytest
from support.stores.tampering import World, make_world

from artifacts.store import Store


@pytest.fixture
def world(store: Store, elsewhere: Store, tmp_path: Path) -> World:
    return make_world(store, elsewhere, tmp_path)
