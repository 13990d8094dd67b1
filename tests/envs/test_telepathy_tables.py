"""The tables of the telepathy gym: large, closed, and telling any two things apart."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from duologue.envs.telepathy._base import MAYBE, NO, YES, Domain, domains, tokens
from duologue.envs.telepathy._ears import hear

DOMAINS = list(domains().values())


def test_there_are_many_things_each_with_many_definite_facts() -> None:
    assert sum(len(domain.entities) for domain in DOMAINS) >= 800
    for domain in DOMAINS:
        for entity in domain.entities:
            definite = [held for held in entity.facts if held != MAYBE]
            assert len(definite) >= 40, entity.name
            assert sum(held == YES for held in entity.facts) >= 3, entity.name


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
def test_some_question_tells_any_two_things_of_a_domain_apart(domain: Domain) -> None:
    for one, two in combinations(domain.entities, 2):
        assert any({a, b} == {YES, NO} for a, b in zip(one.facts, two.facts, strict=True)), (
            one.name,
            two.name,
        )


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
def test_no_two_things_of_a_domain_share_a_name(domain: Domain) -> None:
    names = Counter(tokens(name) for entity in domain.entities for name in entity.names)
    # A one-letter plural is the same name to a listener.
    shared = [name for name, times in names.items() if times > 1]
    owners = [
        {e.name for e in domain.entities if name in {tokens(n) for n in e.names}} for name in shared
    ]
    assert all(len(owner) == 1 for owner in owners), owners


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
def test_every_question_of_the_tables_is_understood_as_itself(domain: Domain) -> None:
    for place, attribute in enumerate(domain.attributes):
        for wrap in ("{}", "Let me ask: {}", "Tell me, {}", "I wonder: {}"):
            heard = hear(domain, wrap.format(attribute.question))
            assert heard.kind == "asked", (attribute, heard)
            for entity in domain.entities[::7]:
                assert heard.verdict(entity.facts, entity.size) == entity.facts[place]


@pytest.mark.parametrize(
    ("domain", "name", "true", "false"),
    [
        ("animal", "lion", "mammal mane africa carnivore fourlegs", "bird eggs stripes pet wings"),
        ("animal", "penguin", "bird eggs feathers wings sea", "fly mammal fur"),
        ("animal", "platypus", "mammal eggs australia", "bird feathers"),
        ("animal", "blue whale", "mammal sea warm", "fish eggs fur fourlegs"),
        ("food", "banana", "fruit yellow peel tropical", "meat stone italian"),
        ("food", "pizza", "dish cheese italian baked", "sweet drink raw"),
        ("object", "violin", "instrument strings bowed wood", "keys blown electric"),
        ("object", "bicycle", "vehicle wheels twowheels", "engine flies clothing"),
        ("place", "paris", "capital city europe france", "country island southern"),
        ("place", "mount everest", "mountain asia record", "volcano city europe"),
        ("profession", "pilot", "air uniform drives", "medical animals religion"),
        ("profession", "dentist", "medical teeth degree", "military outdoors"),
    ],
)
def test_what_anybody_knows_holds(domain: str, name: str, true: str, false: str) -> None:
    world = domains()[domain]
    entity = world.called(name)
    assert entity is not None
    facts = dict(zip((a.tag for a in world.attributes), entity.facts, strict=True))
    assert [tag for tag in true.split() if facts[tag] != YES] == []
    assert [tag for tag in false.split() if facts[tag] != NO] == []
