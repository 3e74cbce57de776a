"""trtllm-bench as a second opinion on speed: TensorRT-LLM's own benchmark asks an engine, without a server.

`ask` is the worker, `request` what it is asked. What the tool reports is left as a file, as it is; the judge
reads it.
"""
