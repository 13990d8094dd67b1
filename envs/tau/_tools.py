"""Tools over a database, and what a domain is made of: tables, tools, policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..function._expression import Expression, ExpressionError
from ._store import Store, Tables

Run = Callable[..., str]
"""A tool's work: the store, then the arguments by name. Its text is what the agent reads."""

TRANSFERS = ("transfer_to_human", "transfer_to_human_agents")
"""Tools that end the conversation."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument of a tool. kind: its JSON type."""

    kind: str
    about: str
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool as an agent sees it, and its work.

    checked: refuse arguments that it does not have or of another type. A checkout's tools are not:
             what they say to a wrong argument is part of their behaviour.
    """

    name: str
    about: str
    parameters: Mapping[str, Parameter]
    run: Run
    checked: bool = True

    def call(self, store: Store, arguments: Mapping[str, Any]) -> str:
        """What the tool answers; "Error: ..." when it cannot. Never raises."""
        if self.checked and (wrong := self._wrong(arguments)):
            return f"Error: {wrong}"
        try:
            return self.run(store, **arguments)
        except Exception as error:  # noqa: BLE001, whatever it is, the agent reads what went wrong
            return f"Error: {error}"

    def _wrong(self, arguments: Mapping[str, Any]) -> str:
        for name, value in arguments.items():
            if name not in self.parameters:
                return f"{self.name} has no argument {name[:40]!r}"
            if not isinstance(value, _KINDS[self.parameters[name].kind]) or isinstance(value, bool):
                return f"{name} is to be of type {self.parameters[name].kind}"
            if isinstance(value, list) and not all(isinstance(each, str) for each in value):  # pyright: ignore
                return f"{name} is to be a list of strings"
        missing = [
            name for name, p in self.parameters.items() if p.required and name not in arguments
        ]
        return f"{', '.join(missing)} missing" if missing else ""


_KINDS: Mapping[str, type] = {"string": str, "integer": int, "array": list}


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A kind of shop: what it knows, what can be done, what is allowed."""

    name: str
    tables: Tables
    tools: Mapping[str, Tool]
    policy: str

    def use(self, store: Store, name: str, arguments: Mapping[str, Any]) -> str:
        """What the tool of that name answers."""
        tool = self.tools.get(name)
        return f"Unknown action {name[:80]}" if tool is None else tool.call(store, arguments)


def listing(tools: Mapping[str, Tool], *, types: bool) -> str:
    """The tools in words. types: say of which type an argument is and whether it may be left out;
    the released list does not."""
    lines = ["Available tools:"]
    for tool in tools.values():
        lines.append(f"- {tool.name}: {tool.about}")
        lines += [f"    - {_described(n, p, types)}" for n, p in tool.parameters.items()]
    return "\n".join(lines)


def _described(name: str, parameter: Parameter, types: bool) -> str:
    optional = "" if parameter.required else ", may be left out"
    return f"{name}{f' ({parameter.kind}{optional})' if types else ''}: {parameter.about}"


def tool(name: str, about: str, run: Run, **parameters: str) -> Tool:
    """A tool of ours. A parameter is described as "type: words"."""
    described: dict[str, Parameter] = {}
    for each, words in parameters.items():
        kind, _, said = words.partition(": ")
        described[each] = Parameter(kind=kind, about=said)
    return Tool(name=name, about=about, parameters=described, run=run)


def calculate(store: Store, expression: str) -> str:
    """Arithmetic that is parsed and bounded: in tau-bench a tower of powers runs for ever."""
    if not all(char in "0123456789+-*/(). " for char in expression):
        return "Error: invalid characters in expression"
    try:
        return str(round(Expression(expression)((0.0, 0.0, 0.0, 0.0)), 2))
    except (ExpressionError, ValueError, OverflowError) as error:
        return f"Error: {error}"


def transfer(store: Store, summary: str) -> str:
    """The end of the agent's part."""
    return "Transferred to a colleague."


SHARED: Sequence[Tool] = (
    tool(
        "calculate",
        "Work out a sum of money.",
        calculate,
        expression="string: numbers with + - * / and parentheses",
    ),
    tool(
        "transfer_to_human",
        "Hand the conversation to a colleague, which ends it.",
        transfer,
        summary="string: what the customer wants, in a sentence",
    ),
)
