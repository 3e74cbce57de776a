"""The report of a judgement: one page without outside resources, and a JSON twin."""
