"""The one place that says which optional packages a feature needs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ...engine import UsageError

_EXTRAS = {
    "train": frozenset({"numpy", "torch", "safetensors", "tokenizers", "jinja2"}),
    "data": frozenset({"pyarrow"}),
    "gym": frozenset({"gymnasium"}),
    "openai": frozenset({"openai"}),
    "metrics": frozenset({"prometheus_client"}),
    "tracing": frozenset({"opentelemetry"}),
}


@contextmanager
def extra(name: str) -> Generator[None]:
    """Import what the extra `name` brings inside this block; a missing package is a `UsageError`.

        with extra("train"):
            from .local._model import open_local

    Only the extra's own packages are caught: a module of ours that fails to import is a bug.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS[name]:
            raise
        raise UsageError(
            f"this needs the package {package!r}, which is not installed; "
            f"try: pip install 'duologue[{name}]'"
        ) from error
