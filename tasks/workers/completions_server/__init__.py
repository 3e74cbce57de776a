"""A server of OpenAI's protocol as vLLM speaks it, which engine trees ship; `main` is the program.

`aot_engine` (CPU) and `cuda_engine` (NVIDIA GPU) are its engines; everything but these and `main` knows an
engine only by the interface in `engine`. `batching` gives its rows to sequences, `sampling` chooses tokens
that are not the likeliest, `protocol` reads requests and writes answers, `text` stands between text and
tokens, and `http` connects them. What vLLM has and this server lacks is listed as `server_lacks` of the kind.
"""
