"""The `nmmjax` command (extra `cli`): reproduce, simulate, sweep, fit, brain, landscape, models, explore, doctor."""

import contextlib
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal


def main() -> None:
    """Entry point of the `nmmjax` command; errors are one line on stderr and exit code 1, Ctrl-C exits with 130."""
    from .._optional import optional

    try:
        _launcher(optional("cyclopts", "cli"))(sys.argv[1:])
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'Interrupted.'}", file=sys.stderr)
        sys.exit(130)
    except (ValueError, ModuleNotFoundError, OSError) as error:
        print(f"nmmjax: {error}", file=sys.stderr)
        sys.exit(1)


def _launcher(cyclopts: Any) -> Any:
    """The command with the options that all its commands share."""
    from ..numerics.kept_programs import cached_compilation

    app = _app(cyclopts)

    @app.meta.default
    def launch(
        *tokens: Annotated[str, cyclopts.Parameter(show=False, allow_leading_hyphen=True)], cache: bool = True
    ) -> None:
        """Run a command.

        Parameters
        ----------
        cache
            Keep compiled programs in a folder of yours, which `nmmjax doctor` names, so that the next command starts sooner.
        """
        with cached_compilation() if cache else contextlib.nullcontext():
            app(tokens)

    return app.meta


def _app(cyclopts: Any) -> Any:
    from .. import __version__
    from .brains import brain
    from .checkup import doctor
    from .exploring import explore
    from .fitting import fit
    from .listing import models
    from .recorded_landscape import landscape
    from .reproduction import reproduce
    from .simulating import simulate
    from .sweeping import sweep

    about = "Dynamics of next-generation neural mass models."
    app = cyclopts.App(name="nmmjax", help=about, version=__version__, suppress_keyboard_interrupt=False)
    app.command(reproduce)
    app.command(simulate)
    app.command(sweep)
    app.command(fit)
    app.command(brain)
    app.command(landscape)
    app.command(models)
    app.command(explore)
    app.command(doctor)
    app.command(_completion(app), name="--completion")
    return app


def _completion(app: Any) -> Callable[[Literal["bash", "zsh", "fish"]], None]:
    """The option `--completion`, which knows the commands of `app`."""

    def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
        """Print a script that completes commands and options in a shell: bash, zsh or fish."""
        print(app.generate_completion(shell=shell), end="")

    return completion
