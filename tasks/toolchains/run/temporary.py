"""Temporary files of jobs and servers: each has a directory of its own, which is removed at its end."""

import getpass
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.runs import temporary_directory
from tasks.toolchains.records import Toolchain

# In the toolchain's directory; its content is useful only to this toolchain, and is removed with it.
KEPT = "inductor"


@contextmanager
def temporary_files(toolchain: Toolchain) -> Iterator[Path]:
    """A directory for one job or server, to be its TMPDIR and its working directory."""
    with temporary_directory(toolchain.temporary_dir) as directory:
        if "torch" in toolchain.versions and os.access(toolchain.root, os.W_OK):
            keep_compiled_headers(toolchain.root, directory)
        yield directory


def keep_compiled_headers(root: Path, directory: Path) -> None:
    """Let torch find the C++ headers that it compiled before.

    It keeps them in TMPDIR, whatever its settings say: `torchinductor_USER`, where USER is from
    `torch._inductor.runtime.cache_dir_utils.default_cache_dir`. They are hundreds of megabytes that take 20
    processor seconds to make.
    """
    (root / KEPT).mkdir(exist_ok=True)
    user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    (directory / f"torchinductor_{user}").symlink_to((root / KEPT).absolute(), target_is_directory=True)
