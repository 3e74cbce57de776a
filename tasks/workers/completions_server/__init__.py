"""A server of the OpenAI completions protocol, which engine trees ship; `main` is the program.

`aot_engine` (CPU) and `cuda_engine` (NVIDIA GPU) are its engines; everything but these and `main` knows an
engine only by the interface in `engine`.
"""
