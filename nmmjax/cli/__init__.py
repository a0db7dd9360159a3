"""Layer 6: the `nmmjax` command."""
