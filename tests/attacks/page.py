"""What the attacks counted, as tables in a page: `python tests/attacks/page.py --page docs/security.md COUNTS...`.

`fuzz.py --out FILE` and `kill.py --out FILE` write the counts. They are kept in `counts.json` beside this file, and
what an earlier version answered to such attacks in `before.json`.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counts import COUNTS
from sonoscale.errors import SonoscaleError
from sonoscale.files import write_json, write_text

BEFORE = Path(__file__).with_name("before.json")
Counts = dict[str, dict[str, dict[str, Any]]]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---" if i == 0 else "---:" for i in range(len(heads))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def by_kind(counts: Counts, before: list[dict[str, Any]]) -> str:
    """Before and after, a row for each kind of attack."""
    rows = [
        [f"before: {one['kind']}", *(number(one.get(key)) for key in ("tried", "right", "refused", "failed"))]
        for one in before
    ]
    readers = counts.get("readers", {})
    for title, chosen in (
        ("after: files, damaged and forged", [one for name, one in readers.items() if name != "arguments of commands"]),
        ("after: arguments of commands", [one for name, one in readers.items() if name == "arguments of commands"]),
    ):
        if chosen:
            sums = [sum(one[key] for one in chosen) for key in ("cases", "right", "refused")]
            rows.append([title, *map(number, sums), number(sum(len(one["failed"]) for one in chosen))])
    killed = list(counts.get("commands", {}).values())
    if killed:
        trials, failed = sum(one["trials"] for one in killed), sum(len(one["failed"]) for one in killed)
        signals = sum(one["signals"] for one in killed)
        title = f"after: {len(killed)} commands ended by {signals} signals and given again"
        rows.append([title, number(trials), number(trials - failed), "", number(failed)])
    return table(["attack", "tried", "answered rightly", "refused in one line", "failed"], rows)


def by_reader(counts: Counts) -> str:
    rows = []
    for name, one in counts.get("readers", {}).items():
        answers = [number(one[key]) for key in ("cases", "right", "refused")]
        rows.append([
            name, *answers, number(len(one["failed"])), f"{one['slowest']:.2f}", f"{one['megabytes']:.0f}",
        ])  # fmt: skip
    return table(["reader", "cases", "read", "one line", "failed", "slowest, s", "memory, MB"], rows)


def by_command(counts: Counts) -> str:
    rows = [
        [name, *(number(one[key]) for key in ("trials", "signals")), number(len(one["failed"]))]
        for name, one in counts.get("commands", {}).items()
    ]
    return table(["command", "trials", "signals", "failed"], rows)


def put(text: str, name: str, content: str) -> str:
    """The text with the content between its marks of this name."""
    found = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
    if not found.search(text):
        raise SonoscaleError(f"the page has no <!-- {name} --> ... <!-- end -->")
    return found.sub(lambda marks: f"{marks[1]}\n{content}\n{marks[2]}", text)


def main() -> None:
    """Merge the counts, and write the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("counts", type=Path, nargs="*", help="JSON files, the later counts in the place of the earlier")
    given = parser.parse_args()
    merged: Counts = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    for file in given.counts:
        for kind, found in json.loads(file.read_text()).items():
            merged.setdefault(kind, {}).update(found)
    write_json(COUNTS, merged)
    machine = f"Python {platform.python_version()}, {platform.system()} on {platform.machine()}."
    text = given.page.read_text()
    text = put(text, "attacks by kind", by_kind(merged, json.loads(BEFORE.read_text())))
    text = put(text, "attacks by reader", f"{by_reader(merged)}\n\n{machine}")
    text = put(text, "attacks by command", by_command(merged))
    write_text(given.page, text)


if __name__ == "__main__":
    main()
