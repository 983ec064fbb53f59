"""What `pytest --nbval notebooks` doesn't compare: renderings whose text/plain form is compared anyway."""

import os

# A progress bar shows up on a slow machine and not on a fast one; the kernels that nbval starts show none.
os.environ["TQDM_DISABLE"] = "1"

# HTML tables carry digits, SVG carries coordinates and the record of a claim (ntk_helpers/bookkit/session.py) carries
# the measurement, and the table of what a figure draws (bookkit/plotted.py) its numbers; all may differ in the last
# place on another machine. The plain text of a claim holds its verdict and its expectation, and that is compared;
# tools/check_notebooks.py checks the record and the HTML against it.
RENDERINGS = ("text/html", "image/svg+xml", "text/csv", "application/vnd.ntk-book.claim+json")


def pytest_collectstart(collector):
    """Drop the renderings from the comparison of every notebook."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare = (*collector.skip_compare, *RENDERINGS)
