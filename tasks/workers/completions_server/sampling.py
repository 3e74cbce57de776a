"""Chooses tokens from logits: penalties, temperature, min-p, top-k and top-p, in vLLM's order.

Invariants:
- Rows do not affect each other, and a row's token depends only on its logits and its draw.
- On a GPU everything runs there, for all rows at once; the chosen tokens are the only thing that comes back.
- A token whose probability is cut to zero is never chosen; the likeliest one never is.
"""

from collections.abc import Sequence

import torch

from tasks.workers.completions_server.engine import Draw

# vLLM takes smaller temperatures as this one: logits divided by less overflow.
LEAST_TEMPERATURE = 0.01
# How many of the likeliest tokens a processor sorts first: nearly always enough, and far cheaper than all.
HEAD = 256


def choose(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """The next token of each row.

    Args:
        logits: [rows, vocabulary], left as they are.
        draws: one per row; one random number is taken of each.
    """
    adjusted = _adjusted(logits.float(), draws)
    numbers = [
        (max(one.temperature, LEAST_TEMPERATURE) if one.temperature else 1.0, one.min_p, one.top_p, one.top_k)
        for one in (draw.sampling for draw in draws)
    ]
    temperature, min_p, top_p, top_k = (
        column[:, None] for column in torch.tensor(numbers, device=logits.device).T
    )
    chosen = adjusted.argmax(-1)
    randoms = [draw.source.random() for draw in draws]
    if any(draw.sampling.temperature for draw in draws):
        scaled = _with_min_p(adjusted / temperature, min_p)
        picked = _picked(_cut(scaled, top_k, top_p, draws), randoms)
        greedy = torch.tensor([not draw.sampling.temperature for draw in draws], device=logits.device)
        chosen = torch.where(greedy, chosen, picked)
    tokens: list[int] = chosen.tolist()
    return tokens


def _adjusted(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    """Logits after the changes that also matter if the likeliest token is taken."""
    adjusted = logits.clone()
    for row, draw in enumerate(draws):
        sampling = draw.sampling
        if not draw.may_end:
            adjusted[row, _ids(sorted(draw.ends), logits)] = -torch.inf
        if sampling.bias:
            ids, values = zip(*sampling.bias, strict=True)
            adjusted[row, _ids(ids, logits)] += torch.tensor(values, device=logits.device)
        if sampling.penalizes:
            _penalize(adjusted[row], draw)
    return adjusted


def _penalize(logits: torch.Tensor, draw: Draw) -> None:
    """Change the logits [vocabulary] of tokens that occurred."""
    sampling = draw.sampling
    generated, counts = torch.unique(_ids(draw.generated, logits), return_counts=True)
    if sampling.repetition != 1:
        seen = _ids(sorted({*draw.prompt, *draw.generated}), logits)
        found = logits[seen]
        logits[seen] = torch.where(found > 0, found / sampling.repetition, found * sampling.repetition)
    logits[generated] -= sampling.frequency * counts + sampling.presence


def _ids(tokens: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(tokens, dtype=torch.int64, device=like.device)


def _with_min_p(logits: torch.Tensor, min_p: torch.Tensor) -> torch.Tensor:
    least = logits.amax(-1, keepdim=True) + min_p.log()
    return logits.masked_fill(logits < least, -torch.inf)


def _cut(
    logits: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, draws: Sequence[Draw]
) -> torch.Tensor:
    """Logits without those that top-k and top-p leave out; tokens as likely as the last one stay."""
    if not any(draw.sampling.top_k or draw.sampling.top_p < 1 for draw in draws):
        return logits
    everything = logits.shape[-1]
    least, enough = _least_kept(logits, top_k, top_p, everything if logits.is_cuda else min(HEAD, everything))
    if not logits.is_cuda and not enough.all():
        least, _ = _least_kept(logits, top_k, top_p, everything)
    return logits.masked_fill(logits < least, -torch.inf)


def _least_kept(
    logits: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest logit that is kept, [rows, 1], and whether the `width` largest were enough to know it."""
    best = torch.topk(logits, width).values
    kept = torch.where(top_k > 0, top_k, width)
    best = best.masked_fill(torch.arange(width, device=logits.device) >= kept, -torch.inf)
    whole = torch.where(top_k > 0, best.logsumexp(-1, keepdim=True), logits.logsumexp(-1, keepdim=True))
    probabilities = (best - whole).exp()
    before = probabilities.cumsum(-1) - probabilities
    inside = (before < top_p) & (best > -torch.inf)
    inside[:, 0] = True
    least = best.masked_fill(~inside, torch.inf).amin(-1, keepdim=True)
    free = (top_k == 0) & (top_p >= 1)
    enough = free | torch.where(top_k > 0, top_k <= width, ~inside[:, -1:])
    return torch.where(free, -torch.inf, least), enough


def _picked(logits: torch.Tensor, randoms: Sequence[float]) -> torch.Tensor:
    """The token at each random number in [0, 1) on the line of probabilities, in double precision."""
    line = logits.softmax(-1).double().cumsum(-1)
    at = torch.tensor(randoms, dtype=torch.float64, device=logits.device)[:, None] * line[:, -1:]
    return (line <= at).sum(-1).clamp(max=logits.shape[-1] - 1)
