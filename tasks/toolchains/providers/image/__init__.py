"""Toolchains in container images: named by digest, run with docker or podman.

Promises: the image's digest is the identity; a program sees its inputs read-only, writes to its output and
its scratch directory alone, runs as this user, has no network unless others talk to it, sees only the GPUs
that were given to it, and is gone with its owner.
"""

from tasks.toolchains.providers.image.provider import ImageProvider

__all__ = ["ImageProvider"]
