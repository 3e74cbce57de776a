"""The completions server with planted damage, for `enginery selftest --live`: a fixture that ships.

Promises:
- It cannot be started by accident. No engine tree holds it (trees ship what `completions_server.main`
  imports, which is none of this), no kind's serve command names it, and it refuses to start without a damage
  that was planted on purpose (`main`).
- Damage lies between the server and its engine, or between it and its tokenizer: batching, HTTP and compiled
  code are those that ship.
- The damage is read anew when a prompt is read, so that one start of a server serves all of them.
- `engine` and `codec` know engine and tokenizer by their interfaces, and need no torch.
"""
