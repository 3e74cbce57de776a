"""Proves that a package computes what the checkpoint says, on the bytes that ship.

The yardstick is the same model in a wider dtype (float32 for bfloat16, float64 for float32): the *reference*.
Hugging Face's own eager model in the engine's dtype deviates from it by rounding alone. An engine may deviate
by as much, times `RMS_FACTOR` and `MAX_FACTOR` because it rounds in another order, plus a few units of the
dtype's own precision in case eager happens to hit the reference exactly. A wrong mask, position, row or
weight is off by the size of the logits themselves: two orders of magnitude more in bfloat16, six in float32.

Cases cover ragged batches of various sizes, the longest prompt, the last position and prompts read in two
parts, and follow each other on one cache that is never cleared, as in serving.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tasks.workers.common.io import Refusal
from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.packages import AotStep

if TYPE_CHECKING:
    from tasks.workers.completions_server.aot_engine import AotEngine
    from tasks.workers.completions_server.cuda_engine import CudaEngine

    Checked = AotEngine | CudaEngine

RMS_FACTOR, MAX_FACTOR = 2.0, 3.0
PRECISION_UNITS = 4
DECODE_STEPS = 4
# Beyond this length the check shows nothing new, and the reference model is slow.
LONGEST_CHECKED = 2048
YARDSTICKS = {"bfloat16": torch.float32, "float32": torch.float64}

# A row is the whole sequence; logits are wanted after its last `DECODE_STEPS + 1` tokens but one.
Row = list[int]
EagerLogits = list[list[torch.Tensor]]
"""Of each row of each case, the logits [DECODE_STEPS + 1, vocabulary] of the positions that are compared."""


@dataclass(frozen=True)
class Agreement:
    """How far engine and eager model are from the reference, over all checked logits.

    Attributes:
        positions: how many logit vectors were compared.
        engine_rms: root mean square of engine minus reference.
        eager_rms: the same of the eager model.
        engine_max: largest absolute difference of the engine.
        eager_max: the same of the eager model.
        reference_rms: size of the logits themselves.
        argmax_agreement: share of positions where engine and reference prefer the same token.
    """

    positions: int
    engine_rms: float
    eager_rms: float
    engine_max: float
    eager_max: float
    reference_rms: float
    argmax_agreement: float

    def allowed(self, dtype: str) -> tuple[float, float]:
        """The largest root mean square and the largest single difference that the engine may have."""
        slack = PRECISION_UNITS * torch.finfo(getattr(torch, dtype)).eps * self.reference_rms
        return RMS_FACTOR * self.eager_rms + slack / PRECISION_UNITS, MAX_FACTOR * self.eager_max + slack


def ragged_cases(limits: Shape, vocab_size: int, seed: int = 0) -> list[list[Row]]:
    """Batches of token sequences, each row a prompt followed by the tokens that are decoded after it."""
    draw = random.Random(seed)  # noqa: S311  test tokens, no secret
    longest = min(limits.max_input_len, limits.max_seq_len - DECODE_STEPS, LONGEST_CHECKED)
    sizes = sorted({1, 2, 3, limits.max_batch_size} & set(range(1, limits.max_batch_size + 1)))
    lengths = [[longest], *([draw.randint(1, min(longest, 48)) for _ in range(size)] for size in sizes)]
    return [
        [[draw.randrange(vocab_size) for _ in range(n + DECODE_STEPS)] for n in batch] for batch in lengths
    ]


def run_case(engine: "Checked", rows: Sequence[Row]) -> list[AotStep]:
    """Read the prompts, in two parts if there are several, then feed the given tokens one by one.

    Returns DECODE_STEPS + 1 steps for all rows together; their logits are copies.
    """
    prompts = [row[:-DECODE_STEPS] for row in rows]
    half = (len(rows) + 1) // 2
    goes = [_kept(engine.prefill(0, prompts[:half]))]
    if prompts[half:]:
        goes.append(_kept(engine.prefill(half, prompts[half:])))
    steps = [AotStep([t for go in goes for t in go.tokens], torch.cat([go.logits for go in goes]))]
    for index in range(DECODE_STEPS):
        tokens = [row[len(prompt) + index] for row, prompt in zip(rows, prompts, strict=True)]
        steps.append(_kept(engine.decode(tokens, [len(prompt) + index for prompt in prompts])))
    return steps


def _kept(step: AotStep) -> AotStep:
    return AotStep(step.tokens, step.logits.to("cpu", copy=True))


def compare(
    engine: "Checked", eager: EagerLogits, reference: EagerLogits, cases: Sequence[Sequence[Row]]
) -> Agreement:
    """Run all cases on the engine, and compare it with what eager model and reference say.

    Raises:
        Refusal: the engine's greedy token is not the largest of its own logits.
    """
    differences, eager_differences, truths, hits = [], [], [], []
    for rows, case_eager, case_reference in zip(cases, eager, reference, strict=True):
        steps = run_case(engine, rows)
        for index in range(len(rows)):
            got = torch.stack([step.logits[index] for step in steps])
            _check_greedy([step.tokens[index] for step in steps], got)
            truth = case_reference[index].double()
            differences.append((got.double() - truth).flatten())
            eager_differences.append((case_eager[index].double() - truth).flatten())
            truths.append(truth.flatten())
            hits.append((got.argmax(-1) == truth.argmax(-1)).double())
    engine_error, eager_error = torch.cat(differences), torch.cat(eager_differences)
    agreement = torch.cat(hits)
    return Agreement(
        positions=len(agreement),
        engine_rms=_rms(engine_error),
        eager_rms=_rms(eager_error),
        engine_max=float(engine_error.abs().max()),
        eager_max=float(eager_error.abs().max()),
        reference_rms=_rms(torch.cat(truths)),
        argmax_agreement=float(agreement.mean()),
    )


def require(agreement: Agreement, dtype: str) -> None:
    """Accept only an engine that agrees.

    Raises:
        Refusal: the engine deviates more than rounding explains, or its logits are not numbers.
    """
    rms, largest = agreement.allowed(dtype)
    # Written so that NaN fails.
    if agreement.engine_rms <= rms and agreement.engine_max <= largest:
        return
    raise Refusal(
        "regression",
        f"the compiled engine is not what the checkpoint says: error {agreement.engine_rms:.3g} "
        f"rms (allowed {rms:.3g}), {agreement.engine_max:.3g} at most (allowed {largest:.3g}), argmax "
        f"agreement {agreement.argmax_agreement:.1%} over {agreement.positions} positions",
        "model.pt2",
        "report this with the spec and the toolchain's identity; the tree was not kept",
    )


def eager_logits(model: Any, cases: Sequence[Sequence[Row]]) -> EagerLogits:
    """Run all cases on a Hugging Face model: no cache, no padding, nothing shared with the engine."""
    return [[_last_logits(model, row) for row in rows] for rows in cases]


@torch.no_grad()
def _last_logits(model: Any, row: Row) -> torch.Tensor:
    ids = torch.tensor([row], device=model.device)
    kept = model(input_ids=ids, use_cache=False, logits_to_keep=DECODE_STEPS + 1).logits[0]
    return torch.as_tensor(kept).cpu()


def _check_greedy(tokens: list[int], logits: torch.Tensor) -> None:
    if tokens != logits.argmax(-1).tolist():
        raise Refusal("regression", "the engine's greedy token is not the largest of its logits", "model.pt2")


def _rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())
