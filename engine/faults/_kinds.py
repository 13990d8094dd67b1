"""What can be made to go wrong, and what must come of it.

A kind is a row of a table. The engine lists its own here; the rooms above list theirs beside the
wrappers that inject them, and whoever opens a `Faults` says which tables a plan may draw on.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from .._messages import End


class Site(StrEnum):
    """Where a fault is injected: what is wrapped, and what one opportunity is.

    model:       a call to a model, and every try of it.
    environment: an action taken in an environment.
    message:     one message between the parties of a dialogue: 1 is the opening, 2 the first
                 reply, 3 what the environment answered, and so on.
    party:       one asking of a party of a dialogue (`where.party`: `agent` or `environment`).
    actor:       one message handled by an actor of its own.
    link:        one message to an actor of its own.
    store:       one transaction of the run store.
    consumer:    one group, or batch of groups, taken by whoever learns from them.
    """

    MODEL = "model"
    ENVIRONMENT = "environment"
    MESSAGE = "message"
    PARTY = "party"
    ACTOR = "actor"
    LINK = "link"
    STORE = "store"
    CONSUMER = "consumer"


class Kind(Struct, frozen=True, kw_only=True):
    """One way to fail.

    what:     what happens. expected: what must come of it, in words that a test has seen.
    ends:     the ends that an attempt at a dialogue may have once it was hit; empty when the fault
              reaches no dialogue.
    for_s:    how long it lasts when the plan does not say; None is for ever, or no time at all.
    mib:      how large it is when the plan does not say.
    once:     decided once a dialogue, and then true of all of it, whatever the attempt.
    """

    name: str
    sites: tuple[Site, ...]
    what: str
    expected: str
    ends: frozenset[End] = frozenset()
    for_s: float | None = None
    mib: int = 1
    once: bool = False


GOES_ON: frozenset[End] = frozenset(end for end in End if end.finished or end.cut_short)
"""Ends of a dialogue that a fault did not stop."""

_LATE = GOES_ON | {End.TIMEOUT}
_PARTY_FAILS = frozenset({End.MODEL_ERROR, End.ENV_ERROR})

ENGINE_KINDS: tuple[Kind, ...] = (
    # -------------------------------------------------------------- messages
    Kind(
        name="drop",
        sites=(Site.MESSAGE, Site.LINK),
        what="a message never arrives",
        expected="timeout: whoever waits for it is released by its deadline",
        ends=frozenset({End.TIMEOUT}),
    ),
    Kind(
        name="delay",
        sites=(Site.MESSAGE, Site.LINK),
        what="a message arrives `for_s` later",
        expected="nothing but the time; timeout where that was too long",
        ends=_LATE,
        for_s=1.0,
    ),
    Kind(
        name="duplicate",
        sites=(Site.LINK,),
        what="a message arrives twice",
        expected="the actor handles both and both are counted; who asked has one reply",
    ),
    Kind(
        name="reorder",
        sites=(Site.LINK,),
        what="a message arrives after the one that was sent next",
        expected="both are handled; one that nothing follows waits for the link to close",
    ),
    Kind(
        name="oversize",
        sites=(Site.MESSAGE, Site.LINK),
        what="a message is `mib` MiB longer",
        expected="the error of the party that said it, where it passes `rollout.dialogue_chars`",
        ends=GOES_ON | _PARTY_FAILS,
        mib=32,
    ),
    Kind(
        name="unknown_tag",
        sites=(Site.LINK,),
        what="a message says that it is of a kind nobody knows",
        expected="refused with its tag named; the actor never sees it, and goes on",
    ),
    Kind(
        name="older_schema",
        sites=(Site.LINK,),
        what="a message lacks the fields that have defaults, as an older writer's would",
        expected="read, with the defaults in their place",
    ),
    # -------------------------------------------------------------- actors
    Kind(
        name="raise_before",
        sites=(Site.PARTY, Site.ACTOR),
        what="the handler fails before it does anything",
        expected="the party's error; the dialogue is tried again, whole, within its attempts",
        ends=_PARTY_FAILS,
    ),
    Kind(
        name="raise_after",
        sites=(Site.PARTY, Site.ACTOR),
        what="the handler fails when its work is done, and the reply is lost",
        expected="the party's error; tried again from the start, so that no step is taken twice",
        ends=_PARTY_FAILS,
    ),
    Kind(
        name="hang",
        sites=(Site.PARTY, Site.ACTOR),
        what="the handler never returns, or only `for_s` later",
        expected="timeout",
        ends=_LATE,
    ),
    Kind(
        name="busy",
        sites=(Site.PARTY, Site.ACTOR),
        what="the handler computes for `for_s` (at most 5) and holds the event loop",
        expected="everybody is that much later, the lateness of the loop shows it, nobody fails",
        ends=_LATE,
        for_s=0.2,
    ),
    Kind(
        name="memory",
        sites=(Site.PARTY, Site.ACTOR),
        what="the handler takes `mib` MiB (at most 1024) and then runs out of memory",
        expected="the party's error, and the memory given back",
        ends=_PARTY_FAILS,
        mib=64,
    ),
    Kind(
        name="restart_loop",
        sites=(Site.PARTY,),
        what="the handler fails in every attempt",
        expected="the party's error after as many attempts as a dialogue has",
        ends=_PARTY_FAILS,
        once=True,
    ),
    # -------------------------------------------------------------- time
    Kind(
        name="clock_jump",
        sites=(Site.PARTY,),
        what="the clock leaps forward by `for_s` while the party works; needs a virtual clock",
        expected="timeout of every dialogue whose deadline was leapt over, and of no other",
        ends=_LATE,
        for_s=3600.0,
    ),
    Kind(
        name="expiry",
        sites=(Site.PARTY,),
        what="the reply comes in the very instant in which the deadline expires",
        expected="one end: the dialogue's own if the reply was its last word, else timeout",
        ends=_LATE,
    ),
    # -------------------------------------------------------------- pipeline
    Kind(
        name="slow_disk",
        sites=(Site.STORE,),
        what="a transaction takes `for_s` longer",
        expected="nothing but the time: the loop does not wait for it, dialogues do",
        for_s=0.5,
    ),
    Kind(
        name="disk_full",
        sites=(Site.STORE,),
        what="a transaction fails because the disk is full",
        expected="the run stops with StoreError; what was durable stays, nothing is half written",
    ),
    Kind(
        name="worker_killed",
        sites=(Site.STORE,),
        what="the process kills itself (SIGKILL) before a transaction is committed",
        expected="what was acknowledged is in the store, and no more; the rest can be run again",
    ),
    Kind(
        name="torn_file",
        sites=(Site.STORE,),
        what="a committed transaction's end is cut off the file, then the process is killed",
        expected="the store opens without that transaction, which nobody had been told of",
    ),
    Kind(
        name="slow_learner",
        sites=(Site.CONSUMER,),
        what="the learner takes `for_s` longer over what it took",
        expected="admission waits; nothing is lost or dropped",
        for_s=1.0,
    ),
    Kind(
        name="full_buffer",
        sites=(Site.CONSUMER,),
        what="the learner takes nothing for `for_s`, and everything before it fills up",
        expected="admission stops at the places and credits there are, then goes on",
        for_s=60.0,
    ),
    Kind(
        name="learner_restart",
        sites=(Site.CONSUMER,),
        what="the learner goes when it has waited `for_s` for a batch, and asks again at once",
        expected="no group is lost, and none is taken twice",
        for_s=0.0,
    ),
)  # fmt: skip
