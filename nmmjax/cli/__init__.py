"""The `nmmjax` command."""
