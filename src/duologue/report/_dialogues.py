"""Sample dialogues, those of one task side by side: what the agent said before and after."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from ..engine import Action, Message, Tokens, Trajectory, Turn
from ._html import Markup, el
from ._numbers import ARROW, DASH, figure, plural, signed
from ._report import Report
from ._speech import Speech, hear, pretty
from ._tallies import end_meaning, manner, name

_FOLD_FROM = 1500
_PEEK = 400


def dialogues(report: Report) -> list[Markup]:
    """One fold a task, the first one open; empty without samples."""
    pairs = _paired(report.before, report.after)
    return [_task(report, *pair, first=i == 0) for i, pair in enumerate(pairs)]


def _paired(
    before: Sequence[Trajectory], after: Sequence[Trajectory]
) -> list[tuple[Trajectory | None, Trajectory | None]]:
    """The samples of each task matched in order, tasks in the order in which they first occur."""
    by_task: dict[tuple[str, str, str], tuple[list[Trajectory], list[Trajectory]]] = {}
    for side, trajectories in enumerate((before, after)):
        for trajectory in trajectories:
            task = trajectory.env, trajectory.split, trajectory.task
            by_task.setdefault(task, ([], []))[side].append(trajectory)
    return [pair for sides in by_task.values() for pair in zip_longest(*sides)]


def _task(
    report: Report, before: Trajectory | None, after: Trajectory | None, *, first: bool
) -> Markup:
    both = bool(report.before and report.after)
    labels = (report.before_label, report.after_label) if both else ("Dialogue", "Dialogue")
    sides = [(label, t) for label, t in zip(labels, (before, after), strict=True) if t is not None]
    task = sides[0][1]
    return el(
        "details",
        el(
            "summary",
            el("span", task.task, class_="name", dir="auto"),
            el("span", f"{task.env} / {task.split}", class_="unit"),
            el("span", f" {ARROW} ".join(_total(t) for _, t in sides), class_="journey"),
        ),
        el("div", *(_dialogue(label, t) for label, t in sides), class_=f"pair of-{len(sides)}"),
        class_="fold task",
        open=first,
    )


def _dialogue(label: str, trajectory: Trajectory) -> Markup:
    retried = ", ".join(name(end) for end in trajectory.discarded)
    sampled = _sampled(trajectory)
    return el(
        "article",
        el(
            "header",
            el("h3", label),
            el("b", _total(trajectory), class_="score", title="reward, summed over the turns"),
            el(
                "span",
                name(trajectory.end),
                class_=f"chip {manner(trajectory.end)}",
                title=end_meaning(trajectory.end),
            ),
            el("p", *_about(trajectory), class_="note"),
            el("p", trajectory.detail, class_="detail", dir="auto") if trajectory.detail else None,
            el("p", f"Retried after: {retried}", class_="detail") if retried else None,
        ),
        *(_opening(message) for message in trajectory.opening),
        el(
            "ol",
            *(
                _turn(number, turn, tokens)
                for number, (turn, tokens) in enumerate(
                    zip(trajectory.turns, sampled, strict=True), start=1
                )
            ),
        )
        if trajectory.turns
        else el("p", "No turn was taken.", class_="note"),
        class_="dialogue",
    )


def _total(trajectory: Trajectory) -> str:
    """The reward, or a dash where it means nothing: a failure is not a reward of zero."""
    means_something = trajectory.end.finished or trajectory.end.cut_short
    return figure(trajectory.reward) if means_something else DASH


def _about(trajectory: Trajectory) -> list[str]:
    facts = [plural(len(trajectory.turns), "turn")]
    tokens = trajectory.tokens
    if tokens is not None:
        facts.append(f"{plural(len(tokens), 'token')}, {sum(tokens.mask):,} of them sampled")
        if tokens.spans:
            facts.append(_versions({span.version for span in tokens.spans}))
    return [" · ".join(facts)]


def _versions(versions: set[int]) -> str:
    low, high = min(versions), max(versions)
    return f"weights {low}" if low == high else f"weights {low} to {high}"


def _sampled(trajectory: Trajectory) -> list[str]:
    """For each turn, how many tokens the agent sampled and from which weights; blank where the
    record does not say."""
    tokens, turns = trajectory.tokens, trajectory.turns
    if tokens is None or len(tokens.turns) != len(turns):
        return ["" for _ in turns]
    ends = [*tokens.turns, len(tokens)][1:]
    return [_stretch(tokens, *bounds) for bounds in zip(tokens.turns, ends, strict=True)]


def _stretch(tokens: Tokens, start: int, end: int) -> str:
    count = plural(sum(tokens.mask[start:end]), "token")
    versions = {s.version for s in tokens.spans if s.start < end and s.end > start}
    return f"{count}, {_versions(versions)}" if versions else count


def _opening(message: Message) -> Markup:
    text = el("div", message.content, class_="text", dir="auto")
    if message.role in ("system", "tool"):
        words = plural(len(message.content), "character")
        return el("details", el("summary", f"{message.role} message, {words}"), text, class_="raw")
    side = "agent" if message.role == "assistant" else "user"
    return _bubble(side, _long(message.content))


def _turn(number: int, turn: Turn, sampled: str) -> Markup:
    parts = ", ".join(f"{part} {signed(value)}" for part, value in turn.parts.items())
    tone = "gain" if turn.reward > 0 else "loss" if turn.reward < 0 else "even"
    return el(
        "li",
        _bubble("agent", *_spoken(turn), said=f"turn {number}", note=sampled),
        el(
            "p",
            el("span", signed(turn.reward), class_=f"reward {tone}", aria_label="reward"),
            el("span", parts, class_="note") if parts else None,
            class_="earned",
        ),
        _bubble("user", _long(turn.feedback)) if turn.feedback else None,
    )


def _spoken(turn: Turn) -> list[Markup]:
    """What the agent did, tidied, with the very text that it wrote folded away below."""
    speech: Speech = hear(turn.text, has_actions=bool(turn.actions))
    shown: list[Markup] = []
    if speech.thought:
        shown.append(
            el(
                "details",
                el("summary", "thinking"),
                el("div", speech.thought, class_="text", dir="auto"),
                class_="raw",
            )
        )
    if speech.prose:
        shown.append(_long(speech.prose))
    shown += [_action(action) for action in turn.actions]
    if not turn.actions:
        shown.append(el("p", "no valid action", class_="chip cut"))
    if speech.tidied:
        raw = el("div", turn.text, class_="text code", dir="auto")
        shown.append(el("details", el("summary", "as written"), raw, class_="raw"))
    return shown


def _action(action: Action) -> Markup:
    structured = pretty(action.content)
    return el(
        "div",
        el("span", action.choice, class_="choice"),
        _long(action.content)
        if structured is None
        else el("div", structured, class_="text code", dir="auto"),
        class_="action",
    )


def _bubble(side: str, *content: Markup, said: str = "", note: str = "") -> Markup:
    return el(
        "div",
        el(
            "p",
            el("b", side),
            said and el("span", said),
            note and el("span", note),
            class_="speaker",
        ),
        *content,
        class_=f"bubble {side}",
    )


def _long(text: str) -> Markup:
    """The text, folded after a glimpse when it would push the dialogue off the screen."""
    if len(text) < _FOLD_FROM:
        return el("div", text, class_="text", dir="auto")
    return el(
        "details",
        el(
            "summary",
            el("span", text[:_PEEK] + "\N{HORIZONTAL ELLIPSIS}", class_="text peek", dir="auto"),
            el("span", f"all {len(text):,} characters", class_="more"),
        ),
        el("div", text, class_="text", dir="auto"),
        class_="long",
    )
