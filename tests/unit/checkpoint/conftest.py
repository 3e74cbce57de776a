"""Worker modules import the files beside them by bare name, as they do when a toolchain runs them."""

import sys
from pathlib import Path

import tasks

sys.path.insert(0, str(Path(tasks.__file__).parent / "workers"))
