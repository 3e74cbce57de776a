"""AutoQuantize: chooses the recipe of each layer by what it costs in accuracy."""

from typing import Any

import modelopt.torch.quantization as mtq

from tasks.workers.common.io import Refusal
from tasks.workers.quantize.model import TokenRows, run_through
from tasks.workers.quantize.modelopt_versions import cache_entries, only, preset, search_method
from tasks.workers.quantize.request import CacheFormat, Search

Choices = dict[str, str]


def search(model: Any, asked: Search, cache: CacheFormat, rows: TokenRows) -> tuple[Any, Choices]:
    """Quantize each layer in the way that fits `asked.effective_bits` and costs least.

    Args:
        model: the model, unquantized.
        asked: how small it has to become, by what method, from which candidates.
        cache: format of the KV cache, which is quantized afterwards.
        rows: calibration texts.

    Raises:
        Refusal: no choice of the candidates is that small.

    Returns:
        The quantized model, and the name of the recipe chosen for each layer ("none": left as it is).
    """
    names = {str(one.preset): one.name for one in asked.candidates}
    batches = [{"input_ids": row[None], "labels": row[None]} for _, row in rows]
    by_logits = asked.method == "kl_div"
    model, state = _searched(
        asked.effective_bits,
        model,
        constraints={"effective_bits": asked.effective_bits},
        quantization_formats=[preset(name) for name in names],
        data_loader=batches,
        forward_step=_logits if by_logits else _output,
        loss_func=None if by_logits else _loss,
        disabled_layers=["*lm_head*"],
        num_calib_steps=len(batches),
        num_score_steps=min(len(batches), asked.score_samples),
        **search_method(asked.method),
    )
    if cache.preset:
        _calibrate_cache(model, cache_entries(preset(cache.preset)), rows)
    return model, {layer: _name(choice, names) for layer, choice in state["best"]["recipe"].items()}


def _searched(effective_bits: float, model: Any, **arguments: Any) -> tuple[Any, dict[str, Any]]:
    try:
        model, state = mtq.auto_quantize(model, **arguments)
    except (
        ValueError,
        AssertionError,
    ) as error:  # below every candidate, or below what they can reach together
        if "effective_bits" not in str(error):
            raise
        raise _too_small(effective_bits, str(error)) from error
    if not state["best"]["is_satisfied"]:
        raise _too_small(effective_bits, f"the best that was found is {state['best']['constraints']}")
    return model, state


def _too_small(effective_bits: float, why: str) -> Refusal:
    what = f"no choice of the candidates has {effective_bits} bits per weight: {why}"
    return Refusal("input", what, fix="raise quantization.search.effective_bits, or name smaller candidates")


def _calibrate_cache(model: Any, entries: Any, rows: TokenRows) -> None:
    mtq.set_quantizer_by_cfg(model, entries)
    with mtq.set_quantizer_by_cfg_context(model, only(entries)):
        mtq.calibrate(model, algorithm="max", forward_loop=lambda m: run_through(m, rows))


def _output(model: Any, batch: dict[str, Any]) -> Any:
    return model(**{key: value.to(model.device) for key, value in batch.items()}, use_cache=False)


def _logits(model: Any, batch: dict[str, Any]) -> Any:
    return _output(model, batch).logits


def _loss(output: Any, _batch: dict[str, Any]) -> Any:
    return output.loss


def _name(choice: Any, names: dict[str, str]) -> str:
    text = str(choice)
    return next((name for constant, name in names.items() if text.startswith(constant)), "none")
