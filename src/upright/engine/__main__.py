"""`python -m upright.engine`: started by the front, never by a person."""

from upright.engine.process import main

main()
