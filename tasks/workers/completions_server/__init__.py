"""A server of the OpenAI completions protocol, which engine trees ship; `main` is the program.

Everything but `aot_engine` and `main` knows the engine by the interface in `engine` only.
"""
