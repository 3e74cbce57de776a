"""The local stack on 127.0.0.1: an S3 server, a Prefect server with its UI, and a process worker.

Invariants:
- A process belongs to the stack if its environment carries the stack's mark (`processes.MARK`). No other
  process is ever signalled, even if it reuses a recorded process id.
- A component is recorded before and after it is spawned. A killed `up` leaves either nothing, or a record
  that the next `up` or `down` cleans up.
- Every change to the stack happens under one file lock.
- The daemons outlive the command that started them and write to log files.

Nothing is imported here: a host with the light install finds a running stack without Prefect.
"""
