"""Write docs/ledger.md, the description of a study's ledger, from the schema in the code."""

from pathlib import Path

from sonoscale.study._schema import ledger_page

if __name__ == "__main__":
    Path(__file__).with_name("ledger.md").write_text(ledger_page(), encoding="utf-8")
