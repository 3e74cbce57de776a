"""The metadata of the demo's checkpoint, from the repository that comes with this program."""

import json

from engine_specs.spec import Spec
from flows.demo.hub_repo import DEMO_HUB, read_hub
from tasks.plan import Metadata, NoMetadata, vendored_metadata

CONFIG_FILE = "config.json"


def packaged_metadata(spec: Spec) -> Metadata | NoMetadata:
    """What this program knows of a spec's checkpoint by itself: of the demo's, or of a vendored one."""
    repo = read_hub(DEMO_HUB).get(("model", spec.checkpoint.repo))
    config = repo.file(CONFIG_FILE) if repo else None
    if repo is None or config is None:
        return vendored_metadata(spec)
    return Metadata(
        origin="checkpoint",
        reason=f"by the files of {repo.id} at commit {repo.commit}, which come with this program",
        config=json.loads(config.source.read_bytes()),
        file_bytes={file.path: file.size_bytes for file in repo.files},
    )
