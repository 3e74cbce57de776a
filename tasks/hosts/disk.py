"""How much room this host's disk has for a build."""

import shutil

from artifacts.settings import Settings


def free_disk_bytes(settings: Settings) -> int:
    """Return the free bytes of the file system that holds the work directories."""
    home = settings.home.absolute()
    existing = next(path for path in (home, *home.parents) if path.exists())
    return shutil.disk_usage(existing).free
