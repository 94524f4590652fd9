"""`python -m finesight`."""

from finesight.cli.main import main

main()
