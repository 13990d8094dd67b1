"""`duologue doctor`: is a model fit for dialogues, and what is wrong with it if not?"""

from __future__ import annotations

from pathlib import Path

from ..agents.models._extras import extra
from ..config import Config
from ..engine import UsageError
from ..progress import Reporter
from ..seats import check_vllm

with extra("train"):
    from ..agents.models._doctor import Diagnosis, examine_local
    from ..agents.models._doctor_server import examine_vllm
    from ..agents.models.local._device import pick_device
    from ..agents.models.local._folder import load_tokenizer
    from ..agents.models.vllm._model import is_url, open_vllm, served_folder

KINDS = ("local:PATH", "vllm:PATH", "vllm:URL")


async def doctor(
    config: Config, spec: str, *, turns: int, idle_s: float, reporter: Reporter
) -> Diagnosis:
    """Examine the model that `spec` names; a server is started for `vllm:PATH`.

    turns:  how long the conversation is that the chat template is tried on.
    idle_s: how long a connection is left idle.

    Raises `UsageError` for a model that cannot be named so, `ServerDied` when its server does not
    start.
    """
    if turns < 2:
        raise UsageError(f"--turns is {turns}; a conversation grows from two on")
    if idle_s <= 0:
        raise UsageError(f"--idle-s is {idle_s:g}; it must be positive")
    kind, _, name = spec.partition(":")
    if kind not in ("local", "vllm") or not name:
        raise UsageError(f"no model to examine is written {spec!r}; one of: {', '.join(KINDS)}")
    if kind == "local":
        reporter.say(f"examining {spec}")
        return await examine_local(Path(name), turns=turns, device=config.model.device or None)
    check_vllm(name, config)
    context = config.model.context
    if is_url(name):
        if "," in name:
            raise UsageError("one server at a time; name one URL")
        reporter.say(f"examining {spec}")
        try:
            folder, missing = await served_folder(name, config.vllm), ""
        except UsageError as error:
            folder, missing = None, str(error)
        return await examine_vllm(
            name, folder, name=spec, turns=turns, idle_s=idle_s, context=context, missing=missing
        )
    folder = Path(name)
    async with open_vllm(
        name,
        load_tokenizer(folder),
        settings=config.vllm,
        context=context,
        live=16,
        device=pick_device(config.model.device),
        threads=config.model.threads,
        say=reporter.say,
    ) as model:
        reporter.say(f"examining {spec}")
        return await examine_vllm(
            model.endpoints[0].url,
            folder,
            name=spec,
            turns=turns,
            idle_s=idle_s,
            context=context,
        )
