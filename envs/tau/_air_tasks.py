"""What customers of the airline want, with what an agent has to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from ._air import BAG_PRICE, BAGS_A_PASSENGER
from ._shop_tasks import Draw
from ._tasks import Call, Goal
from ._tools import Domain
from ._words import TODAY


def _seen(booking: Mapping[str, Any]) -> Call:
    return Call("get_booking", {"booking_id": booking["booking_id"]})


def _which(booking: Mapping[str, Any]) -> dict[str, str]:
    return {
        "order": f"The booking number is {booking['booking_id']}.",
        "item": f"It is the flight from {booking['origin']} to {booking['destination']}.",
    }


def _cancellable(booking: Mapping[str, Any]) -> bool:
    fare, made_on = str(booking["fare"]), str(booking["made_on"])
    return fare == "flexible" or made_on == TODAY


_CANCEL = (
    "A booking of mine has to be cancelled.",
    "I cannot travel, and would like my booking called off.",
)
_REASON = {"reason": "My plans have changed."}


def cancel(rng: Random, domain: Domain, customer: Mapping[str, Any], booking: Any) -> Goal | None:
    if not _cancellable(booking):
        return None
    return Goal(
        kind="cancel",
        ask=_CANCEL,
        facts={**_which(booking), **_REASON},
        looks=(_seen(booking),),
        calls=(Call("cancel_booking", {"booking_id": booking["booking_id"]}),),
    )


def not_cancelled(
    rng: Random, domain: Domain, customer: Mapping[str, Any], booking: Any
) -> Goal | None:
    if _cancellable(booking):
        return None
    adds = rng.random() < 0.6
    return Goal(
        kind="not cancelled",
        ask=_CANCEL,
        facts={**_which(booking), **_REASON, **_PAYS},
        looks=(_seen(booking),),
        why=f"a booking of the {booking['fare']} fare is cancelled on its first day alone",
        fallback="Then please add one more bag to it, since I fly after all." if adds else "",
        calls=(_bags(booking, 1),) if adds else (),
    )


_PAYS = {"payment": "Over the card that I booked with."}


def _bags(booking: Mapping[str, Any], count: int) -> Call:
    return Call(
        "add_bags",
        {"booking_id": booking["booking_id"], "bags": count, "payment_id": booking["payment_id"]},
    )


def bags(rng: Random, domain: Domain, customer: Mapping[str, Any], booking: Any) -> Goal | None:
    room = BAGS_A_PASSENGER * len(booking["passengers"]) - booking["bags"]
    count = rng.randint(1, min(3, room))
    words = ("one bag", "two bags", "three bags")[count - 1]
    return Goal(
        kind="bags",
        ask=("I would like to take more luggage.", "We have packed more than we booked."),
        facts={**_which(booking), "bags": f"I need {words} more, please.", **_PAYS},
        looks=(_seen(booking),),
        calls=(_bags(booking, count),),
        outputs=(str(BAG_PRICE * count),) if rng.random() < 0.3 else (),
    )


def move(rng: Random, domain: Domain, customer: Mapping[str, Any], booking: Any) -> Goal | None:
    """To another day, and there to the cheapest flight or the first that has seats for all."""
    flights = domain.tables["flights"].values()
    route = [
        each
        for each in flights
        if (each["origin"], each["destination"]) == (booking["origin"], booking["destination"])
    ]
    day = rng.choice(sorted({each["day"] for each in route} - {booking["day"]}))
    fits = [e for e in route if e["day"] == day and e["seats"] >= len(booking["passengers"])]
    cheapest = rng.random() < 0.5
    best = min(fits, key=lambda each: each["price"] if cheapest else each["departs"])
    wish = "the cheapest" if cheapest else "the first"
    call = Call(
        "change_flight",
        {
            "booking_id": booking["booking_id"],
            "flight_id": best["flight_id"],
            "payment_id": booking["payment_id"],
        },
    )
    search = Call(
        "search_flights",
        {"origin": booking["origin"], "destination": booking["destination"], "day": day},
    )
    refused = booking["fare"] == "basic"
    return Goal(
        kind="not moved" if refused else "move",
        ask=("I would like to fly on another day.", "Can I move my flight?"),
        facts={
            **_which(booking),
            "date": f"I would like to fly on {day}.",
            "option": f"That day I want {wish} flight that has seats for all of us.",
            **_PAYS,
        },
        looks=(_seen(booking),) if refused else (_seen(booking), search),
        calls=() if refused else (call,),
        why="a booking of the basic fare stays on its flight" if refused else "",
        fallback="What did I pay for the booking, then?" if refused else "",
        outputs=(str(booking["price"]),) if refused else (),
    )


def rename(rng: Random, domain: Domain, customer: Mapping[str, Any], booking: Any) -> Goal | None:
    old = rng.choice(booking["passengers"])
    first, _, last = old.partition(" ")
    new = f"{first} {rng.choice([each for each in _surnames(domain) if each != last])}"
    call = Call(
        "correct_passenger",
        {"booking_id": booking["booking_id"], "old_name": old, "new_name": new},
    )
    return Goal(
        kind="rename",
        ask=("A name on my booking is not right.", "There is a mistake in a passenger's name."),
        facts={**_which(booking), "passenger": f"It says {old}, and it should be {new}."},
        looks=(_seen(booking),),
        calls=(call,),
        right=(new,),
    )


def _surnames(domain: Domain) -> list[str]:
    return sorted({each["last_name"] for each in domain.tables["customers"].values()})


def price(rng: Random, domain: Domain, customer: Mapping[str, Any], booking: Any) -> Goal | None:
    total = booking["price"] + BAG_PRICE * 2
    return Goal(
        kind="price",
        ask=("I would like to know what a booking comes to.", "I need a sum for my accounts."),
        facts={
            **_which(booking),
            "option": "What would my booking cost in all, with two bags on top of its price?",
        },
        looks=(_seen(booking),),
        outputs=(str(total),),
    )


def beyond(rng: Random, domain: Domain, customer: Mapping[str, Any], booking: Any) -> Goal | None:
    wish = rng.choice(
        (
            "My suitcase did not arrive, and somebody has to pay for it.",
            "I need a certificate that my flight was late.",
            "I would like to bring a dog in the cabin.",
            "We are a group of thirty, and need a price for all of us.",
        )
    )
    return Goal(
        kind="beyond",
        ask=(wish,),
        facts=_which(booking),
        looks=(Call("get_customer", {"customer_id": customer["customer_id"]}),),
        calls=(Call("transfer_to_human", {"summary": wish}),),
    )


DRAWS: tuple[Draw, ...] = (cancel, not_cancelled, bags, move, move, rename, price, beyond)
