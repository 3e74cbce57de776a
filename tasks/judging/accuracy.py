"""Asking one side for its answers and the reference for their likelihood; decides nothing.

At a sampled position of held-out text the side gives its greedy next token. The reference then scores the
prompt with that token appended through vLLM's `prompt_logprobs` extension: the last entry holds the
log-probability of the token given and of the reference's own best token. The regret is their difference.
"""

from collections.abc import Sequence
from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.answers import generated_ids
from tasks.judging.client import CompletionsClient, open_client
from tasks.judging.endpoint import Endpoint
from tasks.judging.prompts import Prompt, Window, sample_windows
from tasks.judging.protocol import AccuracyPlan, JudgingProtocol
from tasks.judging.results import AccuracyResult, LengthSample, RegretSample
from tasks.judging.running import Say, map_bounded
from tasks.judging.tokenizers import check_tokenizer


async def measure_accuracy(
    engine: Endpoint, reference: Endpoint, texts: Sequence[str], protocol: JudgingProtocol, *, say: Say
) -> AccuracyResult:
    """Regret, lengths of continuations and tokenizer of `engine` against `reference`, which must be a vLLM
    server.

    Raises `TooLittleText` where the texts do not hold the declared samples.
    """
    plan = protocol.accuracy
    limits: dict[str, Any] = {"connections": plan.parallel_requests, "request_limit_s": plan.request_limit_s}
    async with open_client(engine, **limits) as asked, open_client(reference, **limits) as scorer:
        session = _Scoring(asked, scorer, plan)
        windows = await session.windows(texts, protocol.seed)
        regrets = await map_bounded(
            session.regret, windows[: plan.gate.samples], parallel=plan.parallel_requests
        )
        say(f"{engine.side.name}: {len(regrets)} positions scored, {_agreed(regrets)} tokens agree")
        lengths = await map_bounded(
            session.lengths, windows[: plan.length_windows], parallel=plan.parallel_requests
        )
        say(f"{engine.side.name}: {len(lengths)} texts continued by both sides")
        checks = await check_tokenizer(asked, scorer, texts, plan)
        failed = sum(not (check.same_ids and check.same_text) for check in checks)
        say(f"{engine.side.name}: {len(checks)} texts sent through both tokenizers, {failed} differ")
    return AccuracyResult(
        side=engine.side.name,
        reference=reference.side.name,
        protocol_digest=protocol.digest,
        samples=tuple(regrets),
        lengths=tuple(lengths),
        tokenizer=tuple(checks),
    )


class _Scoring:
    """Questions about one window to both sides."""

    def __init__(self, asked: CompletionsClient, scorer: CompletionsClient, plan: AccuracyPlan) -> None:
        self._asked = asked
        self._scorer = scorer
        self._plan = plan

    async def windows(self, texts: Sequence[str], seed: int) -> list[Window]:
        """Disjoint windows; the first ones serve lengths as well as regret."""
        plan = self._plan
        lead = await self._lead(texts[0])
        ids = await map_bounded(self._plain_ids, texts, parallel=plan.parallel_requests)
        return sample_windows(ids, lead, plan, count=max(plan.gate.samples, plan.length_windows), seed=seed)

    async def _plain_ids(self, text: str) -> list[int]:
        return await self._scorer.tokenize(text, special_tokens=False)

    async def _lead(self, text: str) -> Prompt:
        """What the tokenizer puts in front of a text: its ids with special tokens, less those without."""
        full = await self._scorer.tokenize(text)
        plain = await self._plain_ids(text)
        added = len(full) - len(plain)
        return tuple(full[:added]) if added > 0 and full[added:] == plain else ()

    async def regret(self, window: Window) -> RegretSample:
        """The side's next token at the window's position, and what the reference thinks of it."""
        answer = await self._asked.complete(window.prompt, 1, ignore_eos=True)
        (token,) = generated_ids(answer, self._asked.endpoint, count=1)
        scored = await self._scorer.complete([*window.prompt, token], 1, prompt_logprobs=1)
        best, regret = read_regret(scored, token, self._scorer)
        return RegretSample(
            sample_id=window.sample_id,
            position=window.position,
            engine_token=token,
            reference_token=best,
            regret_nats=regret,
        )

    async def lengths(self, window: Window) -> LengthSample:
        """Greedy continuations by both sides, each ending where its model ends."""
        engine, reference = [await self._continued(side, window) for side in (self._asked, self._scorer)]
        return LengthSample(
            sample_id=window.sample_id,
            engine_tokens=len(engine),
            reference_tokens=len(reference),
            common_prefix_tokens=_common_prefix(engine, reference),
        )

    async def _continued(self, side: CompletionsClient, window: Window) -> list[int]:
        ends = list(self._plan.end_tokens)
        answer = await side.complete(window.prompt, self._plan.length_max_tokens, stop_token_ids=ends)
        return generated_ids(answer, side.endpoint)


def read_regret(scored: dict[str, Any], token: int, client: CompletionsClient) -> tuple[int, float]:
    """(best token, regret in nats) out of the last entry of `prompt_logprobs`; tokens that tie for best have
    none.
    """
    entries = (scored.get("choices") or [{}])[0].get("prompt_logprobs")
    last = entries[-1] if entries else None
    if not last or str(token) not in last:
        raise ServerBroke(
            f"The answer holds no prompt_logprobs of token {token}: {str(scored)[:300]}",
            where=f"{client.endpoint.base_url} ({client.endpoint.side.name})",
            fix="The reference must be a vLLM server; others do not score prompts.",
        )
    best = max(last, key=lambda key: (last[key]["logprob"], key == str(token)))
    return int(best), max(0.0, float(last[best]["logprob"]) - float(last[str(token)]["logprob"]))


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _agreed(samples: Sequence[RegretSample]) -> int:
    return sum(sample.engine_token == sample.reference_token for sample in samples)
