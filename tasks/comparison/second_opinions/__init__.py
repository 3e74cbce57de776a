"""What other tools find of the sides: their own benchmark of speed, and lm-eval's scores on tasks.

Promises: a second opinion decides nothing and ends nothing. Whatever becomes of it (a missing program, a
failure, a full disk), the measurement stays as it is, and its record says why there is no opinion. Only who
cancels the run ends it.
"""

from tasks.comparison.second_opinions.lm_eval import ask_lm_eval, opinion_toolchains
from tasks.comparison.second_opinions.trtllm_bench import BENCHMARK_WORKER, BenchmarkOpinion, BenchmarkPlan

__all__ = ["BENCHMARK_WORKER", "BenchmarkOpinion", "BenchmarkPlan", "ask_lm_eval", "opinion_toolchains"]
