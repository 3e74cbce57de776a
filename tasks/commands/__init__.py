"""Commands with placeholders: what a plan shows, and how a release is served.

Promises: pure and light; a command holds nothing of this host.
"""

from tasks.commands.command import Command
from tasks.commands.serve import serve_commands, server_commands

__all__ = ["Command", "serve_commands", "server_commands"]
