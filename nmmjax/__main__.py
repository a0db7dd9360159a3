"""`python -m nmmjax` is the `nmmjax` command."""

from .cli.main import main

main()
