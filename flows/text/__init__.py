"""Plans, releases and commands as text for a terminal. Pure."""

from flows.text.commands import transcript
from flows.text.plan import lines_of, memory_lines
from flows.text.release import release_lines
from flows.text.units import human_bytes

__all__ = ["human_bytes", "lines_of", "memory_lines", "release_lines", "transcript"]
