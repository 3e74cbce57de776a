"""Print the table of verdicts as `docs/verdicts.md` holds it: `python -m tasks.judging.decide`."""

import sys

from tasks.judging.decide.table import markdown_table

sys.stdout.write(markdown_table())
