"""Toolchains in container images: named by digest, run with docker or podman.

Promises: the image's digest is the identity; a program sees its inputs read-only, writes only to its output
and its scratch directory, runs as this user, has no network unless others connect to it, sees only the GPUs
that were given to it, and ends with its owner.
"""

from tasks.toolchains.providers.image.provider import ImageProvider

__all__ = ["ImageProvider"]
