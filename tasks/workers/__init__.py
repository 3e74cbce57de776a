"""Programs that run inside toolchains: they quantize a checkpoint, build an engine, or serve one.

Promises:
- A worker imports the standard library, the tools of its toolchain, and modules of `tasks.workers`; nothing
  else of this program is importable where it runs.
- A worker runs as `python -P -m tasks.workers.FOLDER.MODULE REQUEST RESPONSE`, with the files that
  `common.sources.closure` names as its only added import path.
- Imports are absolute and name modules, and no `__init__` imports anything: so the files that a worker
  imports are the files that can change its result, and only they are part of its fingerprint.
- What both sides of a job share is light: the modules named `request`, `garbage` and, in `common`, `records`,
  `requests`, `shape`, `sources` and `tool_command`. The rest of this program imports nothing else from here.
- Folders do not import each other, except for what they share: `completions_server` and, below it, `common`.
"""
