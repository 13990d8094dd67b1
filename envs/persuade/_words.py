"""The words that arguments are made of: which mean the same, and which mean nothing by themselves."""

from __future__ import annotations

from .._hearing import synonym_table

FUNCTION_WORDS = frozenset(
    word
    for line in """
    simply during consider while person persons lot lots low high best better hard harder
    actually especially certain able become becomes come comes happen happens find finds
    a about after again all also am an and any anybody anyone anything are aren't as at be
    because been before being but by can can't cannot could couldn't did didn't do does
    doesn't doing don't down each else even ever every everybody everyone everything few for
    from get gets give given gives go goes going got had has hasn't have haven't having he her
    here hers him his how i i'm if in into is isn't it it's its just keep keeps kept less let
    like likely long made make makes making many may maybe me mean means might more most much
    must my myself need needs neither never next no nobody none nor not nothing now of off
    often on once one ones only or other others otherwise our ours out over own part people
    perhaps put puts quite rather really said same say says see seems shall she should
    shouldn't since so some somebody someone something soon still such take taken takes than
    that that's the their theirs them then there these they thing things think this those
    though through to too toward towards two under until up upon us very want wants was wasn't
    way we well were weren't what whatever when whenever where whether which while who whoever
    whom whose why will with within without won't would wouldn't yet you your yours
    """.splitlines()
    for word in line.split()
)
"""Words that carry no point: an honest sentence has many of them, a list of keywords has few."""

NEGATORS = frozenset(
    {"not", "no", "never", "without", "nor", "hardly", "cannot", "neither", "nobody", "nothing"}
)
"""Words that turn round what follows; so does whatever ends in n't."""

SYNONYMS = synonym_table(
    line.split()
    for line in """
    cost price expense expensive costly money pay paid payment fee afford budget bill charge spend
    cheap inexpensive affordable
    health healthy illness ill sick sickness disease medical wellbeing
    safe safety danger dangerous risk risky hazard hazardous unsafe
    hurt injury injure injured harm wound accident
    child children kid kids youngster toddler
    young youth teenager teenage adolescent
    old elderly senior pensioner aged grandparent
    parent mother father mum dad
    poor poverty underprivileged hardship
    rich wealthy affluent
    work job employment employ occupation career
    worker employee staff colleague coworker
    boss manager employer supervisor
    noise noisy loud racket din
    quiet silence silent calm peaceful peace
    tired exhausted fatigue exhaustion weary
    sleep rest nap asleep
    stress stressful strain pressure anxious anxiety worry
    lonely loneliness alone isolated isolation
    friend friendship companion
    neighbour neighbor neighbourhood neighborhood
    visitor guest tourist
    customer client shopper buyer
    shop store market
    town city village municipal
    car vehicle automobile drive driver motorist
    bike bicycle cycle cyclist cycling
    walk pedestrian foot stroll
    bus tram train transport transit
    school classroom class
    teacher instructor educator
    pupil student learner
    learn study education educate
    teach instruct lesson
    mistake error wrong fault
    rule law regulation ban forbid prohibit prohibition
    free freedom liberty choice choose
    fair unfair unequal equal equality just unjust justice
    secret privacy private confidential
    waste wasteful rubbish trash garbage litter
    pollution pollute dirty smog
    climate environment environmental emission
    nature natural wildlife
    animal creature beast
    plant tree flower hedge
    food meal eat eating dish
    time hour minute duration
    quick fast rapid speed swift
    slow delay late wait
    big large huge
    small little tiny
    begin start
    end finish stop
    buy purchase
    throw discard bin
    fix repair mend
    break broken breakage
    help assist support aid
    remember recall memory memorise memorize
    forget forgot forgotten
    happy glad joy pleasure enjoy fun delight
    sad unhappy upset
    angry anger annoyed annoy resent resentment frustrated frustration
    use useful usage
    talk speak chat conversation discuss
    read reading reader
    write writing handwriting
    meet meeting gather gathering
    idea creative creativity imagination
    skill ability practice practise
    hot heat warm
    cold chill freezing
    light lamp bright
    dark darkness dim
    home house household flat
    room space area
    trust confidence rely reliable
    disabled disability wheelchair
    evidence proof study research data survey
    crowd crowded queue busy
    tradition traditional custom heritage
    """.strip().splitlines()
)
"""Stem to stem: words that a persuadee takes for one another."""
