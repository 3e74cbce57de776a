"""The worker that compiles a checkpoint with trtllm-build of TensorRT-LLM 1.2; `build` is the program."""
