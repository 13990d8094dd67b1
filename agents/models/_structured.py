"""Answers with a shape: what a model said, as a value that its type vouches for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import msgspec

from ...engine import JudgeError, Message, ModelError, UsageError, UserError, checkpoint
from ._model import Model, Request, Sampling

T = TypeVar("T")


async def ask_json(
    model: Model,
    messages: Sequence[Message],
    type: type[T],
    *,
    session: str,
    seed: int = 0,
    sampling: Sampling | None = None,
    error: type[UserError | JudgeError] = JudgeError,
) -> T:
    """The model's answer to `messages` as a `type`, a `Struct`; its `Meta` bounds are checked.

        class Verdict(Struct):
            score: Annotated[float, Meta(ge=0.0, le=1.0)]

        verdict = await ask_json(model, messages, Verdict, session=session)

    An answer that does not fit is sent back once, with what is wrong. Raises `error` when the
    second does not fit either, or the model fails; `UsageError` for a type that is no object.
    """
    try:
        schema = json_schema(type)
    except UsageError:
        await checkpoint()
        raise
    asked = list(messages)
    sampling = sampling or Sampling(temperature=0.0, max_tokens=512)
    wrong = ""
    for _ in range(2):
        request = Request(
            session=session, seed=seed, messages=tuple(asked), sampling=sampling, schema=schema
        )
        try:
            reply = await model.generate(request)
        except ModelError as failure:
            raise error(str(failure)) from failure
        try:
            if reply.finish == "length":
                raise ValueError(f"it was cut off at {sampling.max_tokens} tokens")
            return msgspec.json.decode(json_in(reply.text), type=type)
        except (ValueError, RecursionError) as failure:  # msgspec's errors are of the first class
            wrong = str(failure)
        asked += [
            Message("assistant", reply.text),
            Message("user", f"That cannot be used: {wrong}. Answer with the JSON object alone."),
        ]
    raise error(f"session {session!r}: two answers that are no {type.__name__}; the last: {wrong}")


def json_schema(type: Any) -> dict[str, Any]:
    """The JSON schema of a struct, as servers want it that hold a model to it strictly.

    An object at the root, and every field required: a default is for whoever builds the value.
    """
    try:
        (root,), components = msgspec.json.schema_components([type], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise UsageError(f"{type!r} cannot be asked for as JSON: {error}") from error
    name = str(root.get("$ref", "")).rpartition("/")[2]
    if components.get(name, {}).get("type") != "object":
        raise UsageError(f"{type!r} is no JSON object; make it a Struct with a field")
    strict = {key: _strict(part) for key, part in components.items()}
    return {**strict[name], "$defs": strict}


def _strict(part: Any) -> Any:
    if isinstance(part, list):
        return [_strict(each) for each in part]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(part, dict):
        return part
    found = {
        key: _strict(value)
        for key, value in cast("dict[str, Any]", part).items()
        if key != "default"
    }
    if isinstance(properties := found.get("properties"), dict):
        found["required"] = list(cast("dict[str, Any]", properties))
        found["additionalProperties"] = False
    return found


_STARTS = 16
"""How many braces of a reply are tried as the start of its object: bounds the work for any text."""

_SCANNER = json.JSONDecoder()


def json_in(text: str) -> str:
    """The JSON in a reply, without thoughts before it, a fence or prose around it.

    An object in prose is taken when it is the only one and begins a line or ends the reply.
    Otherwise the reply is returned as it is: what stands in a sentence, or beside another, may be
    what somebody else said, quoted, and no answer.
    """
    text = text.rpartition("</think>")[2].strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json").strip()
    if text.startswith("{") and text.endswith("}"):
        return text
    found = _objects(text)
    if len(found) != 1:
        return text
    start, end = found[0]
    alone = not text[:start].rpartition("\n")[2].strip() or not text[end:].strip("` \n")
    return text[start:end] if alone else text


def _objects(text: str) -> list[tuple[int, int]]:
    """Where the JSON objects in `text` begin and end, outermost ones only."""
    found: list[tuple[int, int]] = []
    start = text.find("{")
    for _ in range(_STARTS):
        if start < 0:
            return found
        try:
            _, end = _SCANNER.raw_decode(text, start)
        except ValueError:
            end = start + 1
        else:
            found.append((start, end))
        start = text.find("{", end)
    return [] if start >= 0 else found
