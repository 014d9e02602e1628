"""The pictures of reports in these pages: `make picture`, after `make demo` and the studies of `studies/gallery/`.

Makes the reports of the gallery from the studies in `results/` (those that have not run: from their kept ledgers),
keeps the ledgers in `docs/gallery/`, and the first screen of each page as `docs/gallery/NAME.png`; of the first
also `docs/report.png`, which the README shows, its dark theme and its look on a phone. With names, some of them only.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "docs" / "generate")]

from reports import LEDGERS, STUDIES, face, gallery, ledger, make_pages, reports  # noqa: E402

from browser import Tab, browse  # noqa: E402

SETTLED = 0.6  # seconds that a drawing may take to be painted
COLOURS = 192  # of a picture: enough for text and charts, at a third of the size


def main(names: list[str]) -> None:
    """Pictures of these reports; none given: of all."""
    LEDGERS.mkdir(exist_ok=True)
    for name in STUDIES:
        made = ROOT / "results" / name / "ledger.parquet"
        if made.is_file() and ledger(name).parent == LEDGERS and (not names or name in names):
            shutil.copyfile(made, ledger(name))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "results").mkdir()
        for name in STUDIES:
            if (ROOT / "results" / name).is_dir():
                shutil.copytree(ROOT / "results" / name, Path(folder) / "results" / name, symlinks=True)
        with browse(Path(folder) / "profile") as tab:
            for report in reports():
                if names and report.name not in names:
                    continue
                make_pages(Path(folder), [report.name], print)
                page = Path(folder) / report.page
                take(tab, page, LEDGERS / f"{report.name}.png")
                if report.name == face():
                    take(tab, page, ROOT / "docs" / "report.png")
                    take(tab, page, ROOT / "docs" / "report-dark.png", dark=True)
                    take(tab, page, ROOT / "docs" / "report-phone.png", width=400)
    (ROOT / "docs" / "gallery.md").write_text(gallery(), encoding="utf-8")


def take(tab: Tab, page: Path, picture: Path, *, width: int = 1200, dark: bool = False) -> None:
    """The first screen of a page as PNG."""
    tab.open(page, width=width, height=860, dark=dark)
    if width > 600:
        with suppress(TimeoutError):  # the first screen of some pages is words alone
            tab.wait("document.querySelector('[data-drawn]')")
    time.sleep(SETTLED)
    tab.picture(picture)
    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)
    print(picture.relative_to(ROOT), f"{picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
