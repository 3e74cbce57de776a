"""Job: what the Hugging Face model itself generates, one prompt at a time, with its own cache.

inputs: checkpoint; params: {"prompts": token ids, "count"}; metrics: {"tokens": lists, "logprobs": lists}.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4] / "tasks" / "workers"))

import torch
import transformers
from worker_io import Request, Result, run


def main(request: Request) -> Result:
    model = transformers.AutoModelForCausalLM.from_pretrained(str(request.inputs["checkpoint"])).eval()
    answers = [generate(model, prompt, request.params["count"]) for prompt in request.params["prompts"]]
    return Result(
        {"tokens": [tokens for tokens, _ in answers], "logprobs": [scores for _, scores in answers]}
    )


@torch.no_grad()
def generate(model: torch.nn.Module, prompt: list[int], count: int) -> tuple[list[int], list[float]]:
    tokens, scores = list(prompt), []
    for _ in range(count):
        logprobs = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].log_softmax(-1)
        tokens.append(int(logprobs.argmax()))
        scores.append(float(logprobs.max()))
    return tokens[len(prompt) :], scores


if __name__ == "__main__":
    run(main)
