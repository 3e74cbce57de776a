"""A server of the OpenAI completions protocol, which engine trees ship; `main` is the program.

Everything except `aot_engine` and `main` knows the engine only by the interface in `engine`.
"""
