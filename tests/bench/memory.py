"""Peak memory of a process, read while it runs."""

import threading
import time
from pathlib import Path

EVERY_S = 0.1


class PeakMemory:
    """Follows the peak resident size of one process until it is gone; its children do not count."""

    def __init__(self, pid: int) -> None:
        self._status = Path("/proc", str(pid), "status")
        self.peak_bytes = 0
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while (peak := self._read()) is not None:
            self.peak_bytes = max(self.peak_bytes, peak)
            time.sleep(EVERY_S)

    def _read(self) -> int | None:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return None
        peak_kib = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return int(peak_kib[0]) * 1024 if peak_kib else None
