"""The pages in a real browser, without a network: the plots are drawn, the tables sort, the legend hides."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonoscale.measure import Measured, Measurement
from sonoscale.rank import SpectralSketch, measure_all, rankme
from sonoscale.report import Report, write_measurement_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on PATH")

WATCH = """<script>
window.seen = {errors: [], blocked: []};
window.addEventListener("error", (event) => seen.errors.push(String(event.message)));
window.addEventListener("unhandledrejection", (event) => seen.errors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => seen.blocked.push(event.blockedURI));
for (const level of ["error", "warn"]) console[level] = (...words) => seen.errors.push(words.join(" "));
</script>"""

PROBE = """<script>
window.addEventListener("load", () => setTimeout(() => {
  const all = (css, root) => Array.from((root || document).querySelectorAll(css));
  const traces = (plot) => all("svg.main-svg .scatterlayer .trace", plot).length;
  seen.plots = Object.fromEntries(all(".plot").map((plot) => [plot.id, {
    traces: traces(plot), paths: all("path.point, path.js-line, path.js-fill", plot).length}]));
  const head = all("#runs thead button").find((button) => button.textContent === "quality");
  const column = () => {
    const at = Array.from(head.closest("tr").children).indexOf(head.closest("th"));
    return all("#runs tbody tr").map((row) => Number(row.children[at].dataset.sort));
  };
  const sorted = () => { head.click(); return {
    values: column(), aria: head.closest("th").getAttribute("aria-sort")}; };
  seen.unsorted = column();
  seen.first = sorted();
  seen.second = sorted();
  const key = all("#law .legend button").find((button) => button.dataset.group === "axis:model.width");
  const plot = document.getElementById("law-0");
  key.click();
  seen.hidden = {traces: traces(plot), pressed: key.getAttribute("aria-pressed")};
  key.click();
  seen.shown = {traces: traces(plot), pressed: key.getAttribute("aria-pressed")};
  seen.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const pre = document.createElement("pre");
  pre.id = "seen";
  pre.textContent = JSON.stringify(seen);
  document.body.appendChild(pre);
}, 50));
</script>"""


MEASURE_PROBE = """<script>
window.addEventListener("load", () => setTimeout(() => {
  seen.plots = Object.fromEntries(Array.from(document.querySelectorAll(".plot")).map((plot) => [
    plot.id, plot.querySelectorAll("path.point, path.js-line, path.js-fill").length]));
  seen.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const pre = document.createElement("pre");
  pre.id = "seen";
  pre.textContent = JSON.stringify(seen);
  document.body.appendChild(pre);
}, 50));
</script>"""


def what_is_seen(path: Path, probe: str, folder: Path) -> dict[str, Any]:
    """What a probe inside a copy of a page saw."""
    page = path.read_text(encoding="utf-8")
    copy = folder / "report.html"
    end = page.rindex("</body>")
    start = page.index("<title>")
    copy.write_text(page[:start] + WATCH + page[start:end] + probe + page[end:], encoding="utf-8")
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-extensions", "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}",
        "--window-size=1200,1000", "--virtual-time-budget=5000", "--dump-dom", copy.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"the probe did not run: {done.stderr[-2000:]}"
    return json.loads(html.unescape(found.group(1)))


@pytest.fixture(scope="module")
def seen(written: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is seen of the page of a study."""
    return what_is_seen(written.page, PROBE, tmp_path_factory.mktemp("browser"))


def test_nothing_failed_and_nothing_was_fetched(seen: dict[str, Any]) -> None:
    assert seen["errors"] == []
    assert seen["blocked"] == []
    assert [name for name in seen["loaded"] if not name.startswith(("data:", "blob:"))] == []


def test_every_plot_is_drawn(seen: dict[str, Any]) -> None:
    assert len(seen["plots"]) == 1 + 5 + 4 * 3 + 3
    for name, plot in seen["plots"].items():
        assert plot["traces"] >= 5, name
        assert plot["paths"] >= plot["traces"], name


def test_tables_sort_by_a_click_and_back_by_another(seen: dict[str, Any]) -> None:
    falling = sorted(seen["unsorted"], reverse=True)
    assert seen["unsorted"] not in (falling, falling[::-1])
    assert seen["first"] == {"values": falling, "aria": "descending"}
    assert seen["second"] == {"values": falling[::-1], "aria": "ascending"}


def test_a_press_on_the_legend_hides_and_another_shows(seen: dict[str, Any]) -> None:
    drawn = seen["plots"]["law-0"]["traces"]
    assert seen["hidden"] == {"traces": drawn - 4, "pressed": "false"}  # two seeds, two budgets
    assert seen["shown"] == {"traces": drawn, "pressed": "true"}


def test_the_page_of_what_was_measured_is_drawn(tmp_path: Path) -> None:
    sketch = SpectralSketch(6)
    sketch.update(np.random.default_rng(0).standard_normal((96, 6)) * np.arange(1, 7) ** -1.0)
    records, undefined = measure_all(sketch, ["rankme", "rankme_centred"])
    layers = [rankme(sketch, layer=i) for i in range(3)]
    groups, durations = {"<b>": layers[0], "c": layers[1]}, [rankme(sketch, mean_seconds=s) for s in (1.0, 2.0)]
    one = Measured(
        "an encoder", "an encoder", sketch, records, undefined, layers=layers, groups=groups, durations=durations
    )
    write_measurement_page(Measurement([one], audio="clips"), tmp_path / "o.html")
    found = what_is_seen(tmp_path / "o.html", MEASURE_PROBE, tmp_path)
    assert found["errors"] == []
    assert found["blocked"] == []
    assert [name for name in found["loaded"] if not name.startswith(("data:", "blob:"))] == []
    # A line for each spectrum; a band and its edge, a line, and a point per layer or duration; a point per group.
    assert found["plots"] == {
        "spectrum-0": 1, "spectrum-1": 1, "by_layer-0": 6, "by_duration-0": 5, "by_group-0": 2,
    }  # fmt: skip
