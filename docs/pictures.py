"""The pictures of reports in these pages: `python docs/pictures.py results/quickstart [MORE...]` (or `make picture`).

Of each study the page is opened in headless Chromium, and its first screen kept as `docs/report-NAME.png` (that of the
first study as `docs/report.png`, which the README shows), and the first one's dark theme and phone beside it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from browser import browse  # noqa: E402

SETTLED = 0.4  # seconds that a drawing may take to be painted


def main(folders: list[str]) -> None:
    with tempfile.TemporaryDirectory() as profile, browse(Path(profile)) as tab:
        for number, folder in enumerate(map(Path, folders)):
            name = "report" if number == 0 else f"report-{folder.name}"
            kinds = [(name, 1200, 860, False)]
            if number == 0:
                kinds += [("report-dark", 1200, 860, True), ("report-phone", 400, 860, False)]
            for picture, width, height, dark in kinds:
                tab.open(folder / "report.html", width=width, height=height, dark=dark)
                if width > 600:
                    tab.wait("document.querySelector('#quality-0').dataset.drawn")
                time.sleep(SETTLED)
                tab.picture(ROOT / "docs" / f"{picture}.png")
                print(ROOT / "docs" / f"{picture}.png")


if __name__ == "__main__":
    main(sys.argv[1:] or [str(ROOT / "results" / "quickstart")])
