"""Finished runs in words and on one page: tables, and a file that a browser opens.

`table`, with its parts `front_rows` and `summary`, and `study_table` are what commands
print; `markdown`, `mean_std` and `plus_minus` make the tables of experiments. `gather`
reads a run and asks its networks about a dozen test images; `write_page` makes one HTML
file of such a run or of several. The page needs no server and asks nothing of any; its
markup, style and scripts are the files in `static/`.
"""

from jaxpareto.report.gather import gather
from jaxpareto.report.live import archive, write_live
from jaxpareto.report.markdown import markdown, mean_std, plus_minus
from jaxpareto.report.page import check_page, write_page
from jaxpareto.report.tasks import task_answers
from jaxpareto.report.text import front_rows, study_table, summary, table

__all__ = [
    "archive",
    "check_page",
    "front_rows",
    "gather",
    "markdown",
    "mean_std",
    "plus_minus",
    "study_table",
    "summary",
    "table",
    "task_answers",
    "write_live",
    "write_page",
]
