"""Accuracy: a side's answers, and how likely the reference finds them; decides nothing.

Three phases, none of which needs two sides up at once:

1. `questions`: the reference reads the held-out texts, so that every side is asked by the same token ids, and
   gives its own continuations.
2. `answers`: a side continues the start of every text greedily, over the same streamed path that timed
   requests take, as long as the workload's answers and with as many requests in flight. Its answers are kept.
3. `scores`: the reference reads context and continuation as one prompt, and vLLM's `prompt_logprobs`
   extension says for every token of the continuation how likely it is after what precedes it, and what the
   reference's own best token is. The regret of a token is their difference. What precedes a token is the
   side's own continuation: a side that once chose another good word is not blamed for all that follows.

What this cannot see: tokens beyond the longest continuation, and contexts longer than the held-out texts.
"""
