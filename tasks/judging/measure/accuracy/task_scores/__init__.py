"""Tasks: questions with known answers, asked of every side in the same way. Nothing is decided here.

1. `questions`: the reference tokenizes every question, through the chat template of its checkpoint if the
   task says so, so that all sides get the same token ids.
2. `answers`: a side answers each question: it scores every option (`options`), or continues the prompt
   greedily.
3. `opinions`: another tool asks both sides again, if the spec wants to know what it finds.
4. `readings`: which option was chosen, and whether an answer is right. Pure.

Why options are scored by forcing their tokens, one request per token: every server that takes OpenAI's
`logit_bias` can do it, while some have no log-probabilities of prompts. All sides are asked alike, and the
code of an engine that is scored is the one that generates.
"""

from tasks.judging.measure.accuracy.task_scores.answers import TaskAnswers, answer_tasks, compare_answers
from tasks.judging.measure.accuracy.task_scores.opinions import Opine, with_opinions
from tasks.judging.measure.accuracy.task_scores.questions import TaskQuestions, prepare_tasks

__all__ = [
    "Opine",
    "TaskAnswers",
    "TaskQuestions",
    "answer_tasks",
    "compare_answers",
    "prepare_tasks",
    "with_opinions",
]
