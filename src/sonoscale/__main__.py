"""`python -m sonoscale`."""

from sonoscale.cli.main import run

if __name__ == "__main__":
    run()
