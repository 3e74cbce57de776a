"""Job: what the Hugging Face model itself generates, one prompt at a time, with its own cache.

inputs: checkpoint; params: {"prompts": token ids, "count"}; metrics: {"tokens": lists, "logprobs": lists}.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import transformers

from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Request, Result


@dataclass(frozen=True)
class Asked:
    prompts: tuple[tuple[int, ...], ...]
    count: int


def main(request: Request[Asked, Nothing]) -> Result:
    model = transformers.AutoModelForCausalLM.from_pretrained(str(request.inputs["checkpoint"])).eval()
    answers = [generate(model, prompt, request.params.count) for prompt in request.params.prompts]
    found = {"tokens": [tokens for tokens, _ in answers], "logprobs": [scores for _, scores in answers]}
    return Result(found, tools={})


@torch.no_grad()
def generate(model: torch.nn.Module, prompt: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    tokens, scores = list(prompt), []
    for _ in range(count):
        logprobs = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].log_softmax(-1)
        tokens.append(int(logprobs.argmax()))
        scores.append(float(logprobs.max()))
    return tokens[len(prompt) :], scores


if __name__ == "__main__":
    run(main, Asked, Nothing)
