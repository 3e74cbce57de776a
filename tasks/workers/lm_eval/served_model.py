"""A model of lm-evaluation-harness that is a completions server: texts in, log-likelihoods and texts out.

Options are scored by forcing each of their tokens with `logit_bias`, which every server of ours takes. Where
an option begins is decided as the tool's own models decide it: spaces at the end of a prompt belong to the
option, and the option is what remains of the ids of both behind as many as the prompt has.
"""

import json
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM
from tokenizers import Tokenizer

from tasks.workers.common.io import Refusal
from tasks.workers.lm_eval.request import LmEvalParams

FORCE = 100
NEUTRAL = {"temperature": 0, "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1}


class ServedModel(LM):
    """The model behind one server.

    Args:
        asked: the server.
        tokenizer: path of tokenizer.json.
    """

    def __init__(self, asked: LmEvalParams, tokenizer: Path) -> None:
        super().__init__()
        self._asked = asked
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        # What a tokenizer kept from training would cut or pad.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def loglikelihood(self, requests: Iterable[Any]) -> list[tuple[float, bool]]:
        """The log-likelihood of each continuation; whether it is the likeliest one is not asked."""
        return [(score, False) for score in self._each(self._score, requests)]

    def loglikelihood_rolling(self, requests: Iterable[Any]) -> list[float]:
        """Raise NotImplementedError: the interface asks for this method, and questions never call it."""
        raise NotImplementedError("questions with known answers have no rolling log-likelihood")

    def generate_until(self, requests: Iterable[Any]) -> list[str]:
        """The greedy continuation of each context, up to the first of its stop texts."""
        return self._each(self._write, requests)

    def _each(self, work: Any, requests: Iterable[Any]) -> list[Any]:
        with ThreadPoolExecutor(self._asked.in_flight) as pool:
            return list(pool.map(lambda one: work(*one.args), requests))

    def _score(self, context: str, continuation: str) -> float:
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        begin, whole = len(self._ids(context)), self._ids(context + continuation)
        return sum(self._forced(whole[:place], whole[place]) for place in range(begin, len(whole)))

    def _forced(self, before: list[int], token: int) -> float:
        choice = self._post(before, max_tokens=1, logprobs=1, ignore_eos=True, logit_bias={str(token): FORCE})
        return float(choice["logprobs"]["token_logprobs"][0])

    def _write(self, context: str, settings: dict[str, Any]) -> str:
        stops = settings["until"]
        text = self._post(
            self._ids(context), max_tokens=settings["max_gen_toks"], **({"stop": stops} if stops else {})
        )["text"]
        ends = [text.index(stop) for stop in stops if stop in text]
        return str(text[: min(ends)] if ends else text)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def _post(self, prompt: list[int], **fields: Any) -> dict[str, Any]:
        body = {"model": self._asked.model, "prompt": prompt, **NEUTRAL, **fields}
        url = f"{self._asked.base_url}/v1/completions"
        request = urllib.request.Request(
            url, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._asked.request_limit_s) as answer:
                choice: dict[str, Any] = json.load(answer)["choices"][0]
        except (OSError, KeyError, ValueError) as error:
            what = f"the server did not answer as it should: {type(error).__name__}: {error}"
            raise Refusal("unsupported", what, where=url, fix="read the server's log") from error
        return choice
