"""What `pytest --nbval notebooks` doesn't compare: renderings whose text/plain form is compared anyway."""

# HTML tables carry digits and SVG carries coordinates; both may differ in the last place on another machine. The plain
# text of a claims table holds the verdicts and expectations, and that is compared.
RENDERINGS = ("text/html", "image/svg+xml")


def pytest_collectstart(collector):
    """Drop the renderings from the comparison of every notebook."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare = (*collector.skip_compare, *RENDERINGS)
