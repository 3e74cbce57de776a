"""Workers, given to a job to import as their stages give them: their own files and nothing else of ours."""

from pathlib import Path

from tasks.toolchains import Worker
from tasks.workers.common.sources import closure, imported, reached, write_sources


def staged(folder: Path, worker: str, *ships: str) -> Worker:
    """One of the program's workers, and modules that it ships."""
    write_sources(closure(worker, *ships), folder)
    return Worker(module=worker, import_path=folder)


def staged_file(folder: Path, worker: Path) -> Worker:
    """A worker of the tests: one file that imports `tasks.workers`."""
    content = worker.read_bytes()
    write_sources(reached(imported(content)), folder)
    (folder / worker.name).write_bytes(content)
    return Worker(module=worker.stem, import_path=folder)
