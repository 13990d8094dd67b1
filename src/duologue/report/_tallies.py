"""What became of the trajectories, and how the dialogues ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..engine import End, Fate
from ._html import Markup, el
from ._numbers import permille, shares

_Word = TypeVar("_Word", Fate, End)

_FATES = {
    Fate.TRAINED: "in a batch that changed the weights",
    Fate.FILTERED: "taught nothing: all of the group scored alike, or a filter said so",
    Fate.STALE: "too old when its batch was drawn",
    Fate.FAILED: "a party failed; never trained on",
    Fate.CANCELLED: "stopped by us",
    Fate.READY: "ended by itself, not used for training",
}
_ENDS = {
    End.DONE: "the environment said so",
    End.USER_ENDED: "the user left",
    End.MAX_TURNS: "turn limit",
    End.NO_ACTION: "a reply without a valid action",
    End.CONTEXT_FULL: "no room left in the context",
    End.TRUNCATED: "a reply was cut off",
    End.TIMEOUT: "the deadline passed",
    End.MODEL_ERROR: "the agent's model failed",
    End.USER_ERROR: "the user failed",
    End.JUDGE_ERROR: "the judge failed",
    End.ENV_ERROR: "the environment failed",
    End.CANCELLED: "stopped by us",
}
_IN_THE_BAR = 100  # a segment below 10 % is too narrow for its label


def fates(counts: Mapping[Fate, int]) -> Markup | None:
    """One bar split by fate, with percentages that sum to 100; None when nothing was counted."""
    rows = _split({fate: counts.get(fate, 0) for fate in _FATES})
    if not rows:
        return None
    spoken = ", ".join(f"{name(fate)} {permille(share)}" for fate, _, share in rows)
    segments = (
        el(
            "span",
            permille(share) if share >= _IN_THE_BAR else None,
            class_=f"segment fate-{fate}",
            style=f"flex-grow:{count}",
            title=f"{name(fate)}: {count:,} ({permille(share)})",
        )
        for fate, count, share in rows
    )
    legend = (
        el(
            "tr",
            el("th", el("i", class_=f"swatch fate-{fate}"), name(fate), scope="row"),
            el("td", _FATES[fate], class_="meaning"),
            el("td", f"{count:,}"),
            el("td", el("b", permille(share))),
        )
        for fate, count, share in rows
    )
    return el(
        "figure",
        el("figcaption", el("h3", "Fates"), _total(rows, "trajectory", "trajectories")),
        el("div", *segments, class_="stack", role="img", aria_label=f"Fates: {spoken}"),
        el("table", el("tbody", *legend), class_="tally"),
        class_="card",
    )


def ends(counts: Mapping[End, int]) -> Markup | None:
    """A bar for each way that dialogues ended; None when nothing was counted."""
    rows = _split({end: counts.get(end, 0) for end in _ENDS})
    if not rows:
        return None
    most = max(count for _, count, _ in rows)
    body = (
        el(
            "tr",
            el("th", name(end), scope="row"),
            el(
                "td",
                el(
                    "span",
                    class_=f"meter {manner(end)}",
                    style=f"width:{100 * count / most:.1f}%",
                ),
                el("small", _ENDS[end]),
                class_="meaning",
            ),
            el("td", f"{count:,}"),
            el("td", el("b", permille(share))),
        )
        for end, count, share in rows
    )
    return el(
        "figure",
        el("figcaption", el("h3", "Ends"), _total(rows, "dialogue", "dialogues")),
        el("table", el("tbody", *body), class_="tally"),
        class_="card",
    )


def name(word: Fate | End) -> str:
    return word.value.replace("_", " ")


def end_meaning(end: End) -> str:
    return _ENDS[end]


def fate_meaning(fate: Fate) -> str:
    return _FATES[fate]


def manner(end: End) -> str:
    """How an end is to be read: `finished`, `cut`, `failed` or `stopped`."""
    if end.finished:
        return "finished"
    if end.failed:
        return "failed"
    return "stopped" if end is End.CANCELLED else "cut"


def _split(counts: Mapping[_Word, int]) -> list[tuple[_Word, int, int]]:
    """The words that occurred: count, and share in thousandths."""
    thousandths = shares(list(counts.values()))
    rows = zip(counts.items(), thousandths, strict=True)
    return [(word, count, share) for (word, count), share in rows if count]


def _total(rows: Sequence[tuple[_Word, int, int]], one: str, many: str) -> Markup:
    total = sum(count for _, count, _ in rows)
    return el("span", f"{total:,} {one if total == 1 else many}", class_="unit")
