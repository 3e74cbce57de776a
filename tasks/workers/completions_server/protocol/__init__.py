"""OpenAI's protocol, with vLLM's extensions: requests are read and checked here, and answers are written.

Invariants:
- Whatever is accepted is honoured. A field that vLLM knows, that would change the answer and is not supported
  here, is refused by name; a field that vLLM does not know is ignored, as vLLM does, and reported.
- What a request leaves out, generation_config.json of the checkpoint decides, and then vLLM's defaults.
- Values out of range are refused with vLLM's ranges.
"""
