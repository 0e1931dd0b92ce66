"""`python -m upright`: the command where it is not installed, or not on the path."""

from upright.cli.main import run

if __name__ == "__main__":
    run()
