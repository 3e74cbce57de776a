"""Stand-ins of TensorRT-LLM's programs: they refuse what the real ones would, and say what they are."""
