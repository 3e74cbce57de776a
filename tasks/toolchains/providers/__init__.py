"""How a host gets toolchains: providers behind one interface, and the registry that lists them.

Promises: nothing outside this folder asks which provider serves a toolchain; a provider returns a
`Toolchain`, whose launcher starts its programs. A new provider is a folder here and a row in the registry.
"""

from tasks.toolchains.providers.adoption import adopt, forget
from tasks.toolchains.providers.registry import ensure, planned_identity, require_usable, status

__all__ = ["adopt", "ensure", "forget", "planned_identity", "require_usable", "status"]
