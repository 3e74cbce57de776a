"""How much room the disk of this host has for a build."""

import shutil

from artifacts.settings import Settings


def free_disk_bytes(settings: Settings) -> int:
    """Free bytes of the file system that work directories and the store's cache lie on."""
    home = settings.home.absolute()
    existing = next(path for path in (home, *home.parents) if path.exists())
    return shutil.disk_usage(existing).free
