"""The packaged templates of pages, filled."""

from __future__ import annotations

from importlib import resources
from string import Template

from plotly.offline import get_plotlyjs

__all__ = ["fill"]


def fill(template: str, **blanks: str) -> str:
    """A packaged template with its blanks filled, and the style, the script and plotly.js inside it.

    Arguments:
        template: Its file name.
        blanks: HTML for each of its other blanks.
    """
    return Template(_packaged(template)).substitute(
        style=_packaged("_page.css"),
        script=_packaged("_page.js"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        **blanks,
    )


def _packaged(name: str) -> str:
    return resources.files("sonoscale.report").joinpath(name).read_text(encoding="utf-8")
