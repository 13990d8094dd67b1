"""Why there is no more sampling than there is: one cause at a time."""

from __future__ import annotations

import pytest

from duologue.engine import Hop, Phase, Service, ServiceRole, Snapshot, Wait

FULL = Hop(name="credits", depth=32, capacity=32, waiting_in=1)


def phase(admission: Wait, live: int = 0, **waits: int) -> Phase:
    return Phase(
        name="train",
        admitted=live,
        live=live,
        ended=0,
        groups=0,
        retried=0,
        admission=admission,
        waits={Wait[name.upper()]: number for name, number in waits.items()},
    )


def agent(**state: object) -> Service:
    return Service(name="vLLM at http://h:1", role=ServiceRole.AGENT, **state)  # type: ignore[arg-type]


LEARNER = Service(name="learner", role=ServiceRole.LEARNER, in_flight=1, doing="learning, step 7")
IDLE = Service(name="learner", role=ServiceRole.LEARNER)


@pytest.mark.parametrize(
    ("at", "parts", "cause", "words"),
    [
        (phase(Wait.NOTHING), (), Wait.NOTHING, "admitting dialogues"),
        (
            phase(Wait.CREDITS, 9, model=9),
            (FULL, LEARNER),
            Wait.CREDITS,
            "credits 32/32: the learner is behind (learning, step 7)",
        ),
        (
            phase(Wait.CREDITS),
            (FULL, IDLE),
            Wait.CREDITS,
            "credits 32/32: the learner is behind",
        ),
        # All credits are out because dialogues are live: it is those that are waited for.
        (
            phase(Wait.CREDITS, 9, model=9),
            (FULL, IDLE),
            Wait.MODEL,
            "model: 9 of 9 dialogues",
        ),
        (
            phase(Wait.PLACES, 2048, model=2000, environment=48),
            (agent(in_flight=1000, limit=1024),),
            Wait.MODEL,
            "model: 2,000 of 2,048 dialogues; vLLM at http://h:1 1,000/1,024 in flight",
        ),
        (
            phase(Wait.PLACES, 2048, model=2048),
            (agent(in_flight=1024, limit=1024, waiting=1024),),
            Wait.ENDPOINT_LIMIT,
            (
                "endpoint limit: 2,048 of 2,048 dialogues; vLLM at http://h:1 1,024/1,024 in flight, "
                "1,024 waiting"
            ),
        ),
        (
            phase(Wait.TASKS, 8, model=8),
            (agent(waiting=8, limit=4, up=False, doing="circuit open"),),
            Wait.ENDPOINT_DOWN,
            (
                "endpoint down: 8 of 8 dialogues; vLLM at http://h:1 0/4 in flight, 8 waiting "
                "(circuit open)"
            ),
        ),
        # One of two servers is down: the other still samples.
        (
            phase(Wait.PLACES, 8, model=8),
            (agent(up=False), agent(in_flight=8)),
            Wait.MODEL,
            (
                "model: 8 of 8 dialogues; vLLM at http://h:1 0 in flight, vLLM at http://h:1 8 in "
                "flight"
            ),
        ),
        (
            phase(Wait.PLACES, 8, model=8),
            (agent(), agent(), agent(in_flight=8)),
            Wait.MODEL,
            (
                "model: 8 of 8 dialogues; vLLM at http://h:1 0 in flight, vLLM at http://h:1 0 in "
                "flight and 1 more"
            ),
        ),
        (
            phase(Wait.PLACES, 8, environment=8),
            (
                Service(name="u", role=ServiceRole.USER, in_flight=5),
                Service(name="j", role=ServiceRole.JUDGE, in_flight=1),
            ),
            Wait.USER,
            "user model: 8 of 8 dialogues; u 5 in flight",
        ),
        (
            phase(Wait.PLACES, 8, environment=8),
            (
                Service(name="u", role=ServiceRole.USER, in_flight=1),
                Service(name="j", role=ServiceRole.JUDGE, waiting=5),
            ),
            Wait.JUDGE,
            "judge model: 8 of 8 dialogues; j 0 in flight, 5 waiting",
        ),
        (
            phase(Wait.PLACES, 8, environment=8),
            (Service(name="u", role=ServiceRole.USER),),
            Wait.ENVIRONMENT,
            "environment: 8 of 8 dialogues",
        ),
        (
            phase(Wait.PLACES, 8, environment=8),
            (),
            Wait.ENVIRONMENT,
            "environment: 8 of 8 dialogues",
        ),
        (
            phase(Wait.PLACES, 8, store=8),
            (Hop(name="store", depth=8, capacity=4096),),
            Wait.STORE,
            "store 8/4,096",
        ),
        (phase(Wait.STORE, 8, model=8), (), Wait.STORE, "store"),
        (
            phase(Wait.PLACES, 8, consumer=6, model=2),
            (),
            Wait.CONSUMER,
            "consumer: 6 finished groups are not taken",
        ),
        (
            phase(Wait.PLACES, 8, consumer=6),
            (Hop(name="buffer", depth=4, capacity=4, waiting_in=1),),
            Wait.BUFFER,
            "buffer full 4/4: the learner is behind",
        ),
        (phase(Wait.CONSUMER), (), Wait.CONSUMER, "consumer: 0 finished groups are not taken"),
        (
            phase(Wait.PLACES),
            (Hop(name="places", depth=4, capacity=4),),
            Wait.PLACES,
            "places 4/4",
        ),
        (phase(Wait.TASKS), (), Wait.TASKS, "no tasks left"),
        (phase(Wait.TASKS), (LEARNER,), Wait.LEARNER, "learner (learning, step 7)"),
    ],
)
def test_why_there_is_no_more_sampling(
    at: Phase, parts: tuple[Hop | Service, ...], cause: Wait, words: str
) -> None:
    snapshot = Snapshot(
        at_s=0.0,
        idle_s=0.0,
        beats=0,
        turns=0,
        phases=(at,),
        hops=tuple(part for part in parts if isinstance(part, Hop)),
        services=tuple(part for part in parts if isinstance(part, Service)),
    )
    assert snapshot.why == (cause, words)


def test_where_nothing_is_under_way_it_says_so() -> None:
    snapshot = Snapshot(at_s=0.0, idle_s=0.0, beats=0, turns=0)
    assert snapshot.why == (Wait.NOTHING, "no rollouts are under way")
    assert (snapshot.live, snapshot.waits(Wait.MODEL), snapshot.hop("store")) == (0, 0, None)


def test_every_cause_there_is_can_be_the_answer() -> None:
    """The list above, and what is there to be said, have not drifted apart."""
    [marks] = [m for m in test_why_there_is_no_more_sampling.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]
    assert {case[2] for case in marks.args[1]} == set(Wait)
