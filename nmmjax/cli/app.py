"""`nmmjax reproduce | sweep | fit | landscape | models | doctor` (extra `cli`)."""

import sys
from typing import Any


def main() -> None:
    """Entry point of the `nmmjax` command; errors are one line on stderr and exit code 1, Ctrl-C exits with 130."""
    from .._optional import optional

    try:
        app = _app(optional("cyclopts", "cli"))
        app()
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'Interrupted.'}", file=sys.stderr)
        sys.exit(130)
    except (ValueError, ModuleNotFoundError, OSError) as error:
        print(f"nmmjax: {error}", file=sys.stderr)
        sys.exit(1)


def _app(cyclopts: Any) -> Any:
    from .. import __version__
    from .checkup import doctor
    from .fitting import fit
    from .listing import models
    from .recorded_landscape import landscape
    from .reproduction import reproduce
    from .sweeping import sweep

    about = "Dynamics of next-generation neural mass models."
    app = cyclopts.App(name="nmmjax", help=about, version=__version__, suppress_keyboard_interrupt=False)
    app.command(reproduce)
    app.command(sweep)
    app.command(fit)
    app.command(landscape)
    app.command(models)
    app.command(doctor)
    return app
