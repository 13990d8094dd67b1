"""The words that say nothing of a story: grammar, and how one asks."""

from __future__ import annotations

from .._hearing import stem

_SMALL = """
a about above after again all also am an and another any anybody anyone anything are as at be
because been before being both but by came can case come comes could did do does doing done down
during each either else ever every exactly fact few for from get gets go goes going gone got had
has have having he her here hers him his how however i if in into involve involved involves is it
its just kind know known like made make makes many matter matters maybe me mean means might more
most much must my nobody none nothing now of off on once one only or other our out over own part
perhaps person people play plays please point possible probably put really reason related relevant
right role same say says see she should since so some somebody someone something somehow somewhere
sort still story such take taken takes than that the their them then there these they thing things
this those though thought through to told too took toward true truth try trying turn two under
until up upon us use used uses very was way we went were what when where whether which while who
whom whose why will with within without would yes you your connected connection behind happen
happened happens explain explanation important question guess think believe said asked wanted want
wants need needs needed actually
"""

SMALL = frozenset(stem(word) for word in _SMALL.split())

OPEN = frozenset(["what", "why", "who", "whom", "whose", "where", "when", "which", "how"])
"""A question that begins with one of these is none for yes or no."""

ASKING = frozenset(
    ["is", "are", "was", "were", "do", "does", "did", "has", "have", "had", "can", "could", "would"]
)
"""A question for yes or no usually begins with one of these."""

ORDERS = frozenset(
    [
        "tell",
        "explain",
        "reveal",
        "describe",
        "give",
        "show",
        "print",
        "output",
        "repeat",
        "write",
        "ignore",
        "disregard",
        "list",
    ]
)
"""A line that begins with one of these asks for the story itself."""

LEADS = frozenset(
    [
        "and",
        "but",
        "so",
        "ok",
        "okay",
        "well",
        "then",
        "now",
        "please",
        "um",
        "hm",
        "hmm",
        "oh",
        "let's",
        "um",
        "hey",
    ]
)
"""What a line may begin with before it begins."""

_NEGATIVES = frozenset(
    [
        "not",
        "never",
        "no",
        "nobody",
        "none",
        "nothing",
        "neither",
        "nor",
        "without",
        "cannot",
        "hardly",
    ]
)


def flips(word: str) -> bool:
    """Whether the word turns a question round. "Without a coat" does not."""
    return word in ("not", "never", "no") or word.endswith("n't")


def denies(word: str) -> bool:
    """Whether what follows the word is denied."""
    return word in _NEGATIVES or word.endswith("n't")
