"""`python -m nmmjax` is the `nmmjax` command."""

from .cli.app import main

main()
