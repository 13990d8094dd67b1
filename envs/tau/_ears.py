"""What a customer hears in a line: what it is asked for, whether something is done or refused, and
whether it is to say yes. Bounded in the length of the text, and never raises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from .._hearing import HEARD_CHARS, canonical, synonym_table

_FAMILIES = {
    "name": ("name", "called"),
    "email": ("mail", "email", "emails"),
    "postcode": ("postcode", "zip", "zipcode", "postal"),
    "order": ("order", "booking", "reservation", "purchase", "confirmation", "parcel", "number",
              "reference", "code"),
    "item": ("item", "product", "thing", "article", "piece"),
    "option": (
        "option", "variant", "colour", "color", "size", "version", "instead", "model",
        "replacement", "prefer", "preference", "choose", "style", "feature", "cheapest", "earliest",
    ),
    "reason": ("reason", "why"),
    "payment": ("payment", "pay", "paid", "refund", "card", "money", "charge", "gift"),
    "address": ("address", "street", "where", "town", "city", "destination"),
    "date": ("date", "day", "when"),
    "passenger": ("passenger", "spelling", "spelled", "traveller", "traveler"),
    "bags": ("bag", "baggage", "luggage", "suitcase", "many"),
    "details": ("detail", "exactly", "specific", "describe", "explain", "elaborate", "wish"),
}  # fmt: skip
"""Topics of facts, and the words that ask for them."""

TOPICS = tuple(_FAMILIES)
_MEANS = synonym_table(_FAMILIES.values())
_TOPIC: Mapping[str, str] = {_MEANS[canonical(f[0], {})[0]]: t for t, f in _FAMILIES.items()}

_ASKING = re.compile(
    r"\?|\b(?:please|need|tell|give|provide|share|could|can|may|let me know|what|which)\b"
)
_REFUSING = re.compile(
    r"\b(?:can ?not|can't|unable|not possible|impossible|not allowed|unfortunately|refuse|decline"
    r"|not eligible|not permitted|not available|isn't possible|not able|won't|forbidden|afraid)\b"
)
_LOOKING = re.compile(r"\b(?:find|locate|identify|verify|look you up|look up|see your)\b")
_STRONG = re.compile(
    r"\b(?:shall i|should i|may i (?!have|ask|know|get)|do you want me to|would you like me to"
    r"|want me to|do you agree|do i have your|(?:reply|say|answer|type)(?: with)? [\"']?yes)\b"
    r"|\byes ?/ ?no\b|\(yes"
)
_WEAK = re.compile(
    r"\b(?:confirm|correct|right|ok|okay|proceed|go ahead)\b[^?]{0,60}\?|\bplease confirm\b"
)
_DEEDS = (
    r"(?:cancel+ed|changed|exchanged|returned|updated|moved|added|corrected|processed|requested"
    r"|redirected|refunded|replaced|transferred|arranged|finished|completed|fixed|submitted|made)"
)
_SOON = r"(?: (?:now|been|just|all|also|already|successfully)){0,3}"
_DONE = re.compile(
    rf"\b(?:has been|have been|is now|are now|i|i've|i have|we have|we've){_SOON} {_DEEDS}\b"
    r"|\b(?:all set|all done|that is done|that's done|is done|successfully|taken care of)\b|^done\b"
)
_NOT_DONE = re.compile(
    r"\b(?:not been|hasn't|haven't|has not|have not|was not|were not|is not|once|before it|to be)\b"
)
_CLOSING = re.compile(
    r"\b(?:anything else|something else|any other|further|else i can|else can i|that be all)\b"
)
_OFFERING = re.compile(
    r"\b(?:how (?:can|may) i|help|assist|what (?:would|do) you|what is it|your request|tell me more)\b"
)
_NUMBER = re.compile(r"(?<![\w#.-])[$\u20ac\xa3]?[0-9][0-9,]*(?:\.[0-9]+)?(?![\w-])")
_AMOUNT = re.compile(
    r"[$\u20ac\xa3]|[0-9]\.[0-9]|\b(?:totals?|costs?|paid|prices?|sum|together|it is|it's|that is"
    r"|that's|comes|amounts?|would be)\b"
)
_PART = re.compile(r"[^?!\n]+?(?:[?!\n]|\.(?!\w)|$)")
_MAIL = re.compile(r"\be-?mail address(?:es)?\b")


class Heard(Struct, frozen=True, kw_only=True, gc=False):
    """topics: what is asked for, in the order of `TOPICS`. number: it names an amount. Each of the
    others: what the line does; `checks` is a request for a yes that may ask for more."""

    topics: tuple[str, ...] = ()
    refuses: bool = False
    done: bool = False
    proposes: bool = False
    checks: bool = False
    closes: bool = False
    offers: bool = False
    number: bool = False
    text: str = ""


def listen(text: str) -> Heard | None:
    """What is in a line; None when there is no word in it."""
    return _listen(text[:HEARD_CHARS])


@lru_cache(maxsize=1024)
def _listen(text: str) -> Heard | None:
    # Much of what an agent says it says in every dialogue: "Is there anything else?".
    low = text.casefold().replace("\u2019", "'")
    if not re.search(r"\w", low):
        return None
    parts = [(part, bool(_ASKING.search(part))) for part in _PART.findall(low)]
    closes = bool(_CLOSING.search(low))
    # "Would you like me to help you with anything else?" is no proposal.
    proposes = bool(_STRONG.search(low)) and not closes
    return Heard(
        topics=_topics(" ".join(part for part, asks in parts if asks)),
        refuses=bool(_REFUSING.search(low)) and not _LOOKING.search(low),
        done=bool(_DONE.search(low)) and not _NOT_DONE.search(low) and not proposes,
        proposes=proposes,
        checks=bool(_WEAK.search(low)) and not closes,
        closes=closes,
        offers=bool(_OFFERING.search(low)),
        number=any(
            _NUMBER.search(part) and _AMOUNT.search(part) for part, _ in parts if "?" not in part
        ),
        text=low,
    )


def _topics(asked: str) -> tuple[str, ...]:
    # The address of an e-mail is no place.
    meant = {_TOPIC[one] for one in canonical(_MAIL.sub("mail", asked), _MEANS) if one in _TOPIC}
    return tuple(topic for topic in TOPICS if topic in meant)


def mentions(low: str, word: str) -> bool:
    """Whether the folded text says `word`, as words of its own."""
    folded = word.casefold()
    return folded in low and _whole(folded).search(low) is not None


@lru_cache(maxsize=1024)
def _whole(folded: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(folded)}(?!\w)")
