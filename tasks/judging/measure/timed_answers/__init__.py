"""What timed rounds were answered with: read, counted and scored after them. Nothing is decided here.

Timed requests are those of users: text, and no token ids. So their answers could differ from those that were
judged, and their counts could be wrong. Two phases find out, and neither costs a timed round anything:

1. `second_answers`: while the engine is still up, it is asked some of the timed requests again, drawn by
   lot, with as many in flight, and for token ids.
2. `readings`: the reference reads the text of every timed answer and counts its tokens; and it scores the
   tokens of those that were drawn, as it scores answers for accuracy.
"""

from tasks.judging.measure.timed_answers.readings import TimedRounds, read_timed_answers
from tasks.judging.measure.timed_answers.second_answers import SecondAnswer, ask_again, count_to_ask

__all__ = ["SecondAnswer", "TimedRounds", "ask_again", "count_to_ask", "read_timed_answers"]
