"""Where things are in the checkout: the one place that counts folders upwards."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DATA = TESTS / "data"
INTERFACES = DATA / "interfaces"
SPECS = ROOT / "engine_specs"
# The spec of the main job, on the demo's checkpoint.
E2E_SPEC = DATA / "e2e.yaml"
