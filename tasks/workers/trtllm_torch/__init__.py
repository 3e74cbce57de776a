"""The worker that tunes TensorRT-LLM's PyTorch backend for a checkpoint; `build` is the program."""
