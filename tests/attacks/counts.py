"""What the attacks counted, in one JSON file, and the tables that are made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sonoscale.files import write_json

COUNTS = Path(__file__).with_name("counts.json")


def keep(file: Path, kind: str, name: str, counts: dict[str, Any]) -> None:
    """Add the counts of one attack to a file, in the place of earlier ones of this name."""
    held = json.loads(file.read_text()) if file.exists() else {}
    held.setdefault(kind, {})[name] = counts
    write_json(file, held)
