"""Looking for garbage less often than Python does by itself, for programs that import much.

Imports make a great many objects that stay. By Python's own thresholds they are searched for cycles dozens
of times, and once more at the end of the process: with torch and transformers that takes more than half as
long as everything else about their import.
"""

import atexit
import gc

# Still often enough that large tensors in cycles do not stay for long.
THRESHOLDS = (10_000, 10, 10)


def look_for_garbage_rarely() -> None:
    """Let this process look for garbage rarely while it runs, and not at all at its end."""
    gc.set_threshold(*THRESHOLDS)
    atexit.register(gc.freeze)
