"""Every command and where it stands, and what becomes of an error."""

from __future__ import annotations

import sys

import typer

from ..engine import DuologueError, UsageError
from . import _kept, _parts, _running
from ._failures import expected, explain, fail

app: typer.Typer = typer.Typer(
    name="duologue",
    help="Agent-user dialogues by the thousand, and a learner that trains on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(_running.rollout)
app.command()(_running.sft)
app.command()(_running.train)
app.command("eval")(_running.evaluate)
app.command()(_running.demo)
app.command()(_kept.report)
app.command()(_kept.replay)
app.command()(_kept.export)
app.command()(_kept.runs)
app.command()(_kept.prune)
app.command()(_parts.doctor)

_env = typer.Typer(help="Environments: what there is, and what each one has.")
_env.command("list")(_parts.env_list)
_env.command("show")(_parts.env_show)
_env.command("check")(_parts.env_check)
app.add_typer(_env, name="env", no_args_is_help=True)

_model = typer.Typer(help="Model folders.")
_model.command("init")(_parts.model_init)
app.add_typer(_model, name="model", no_args_is_help=True)

_faults = typer.Typer(help="What can be made to go wrong, and plans of it.")
_faults.command("list")(_parts.faults_list)
_faults.command("show")(_parts.faults_show)
app.add_typer(_faults, name="faults", no_args_is_help=True)


def main() -> None:
    """Run the command line; what went wrong is one line on stderr and an exit code.

    A traceback means a bug of ours, so nothing is caught broadly: only our own errors, and what an
    operating system refuses whoever asks (no space, no permission, no more files).
    """
    # As `python -m` does: `--env mygym:gym` means the module in the folder one stands in.
    sys.path.insert(0, "")
    try:
        app()
    except (DuologueError, OSError, ExceptionGroup) as error:
        found = expected(error)
        if not found:
            raise
        usage = all(isinstance(each, UsageError) for each in found)
        fail(explain(found[0], notes=getattr(error, "__notes__", ())), 2 if usage else 1)
