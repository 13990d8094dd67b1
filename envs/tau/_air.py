"""Airline: bookings that are cancelled, moved to other flights, and get luggage. Tools, policy,
worlds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from itertools import permutations
from random import Random
from typing import Any

from ...engine import Seed
from ._shop import find_customer, find_customer_by_name, fresh, get_customer, people, record
from ._store import Store
from ._tools import SHARED, Domain, Tool, tool
from ._words import TODAY, WORDS, Words

BAG_PRICE = 40
BAGS_A_PASSENGER = 3

POLICY = f"""\
# What holds at this airline
Today is {TODAY}.
- First find out who the customer is, by e-mail address or by name and postcode, even when you are \
told a booking number. Help with that customer's own bookings only.
- Before you change anything say what you are about to do, and wait for a yes.
- Fares are `basic`, `standard` and `flexible`. A flexible booking can be cancelled. Any booking can \
be cancelled on the day on which it was made. No other can.
- Standard and flexible bookings can be moved to another flight between the same airports that has \
seats for all passengers; the difference goes over a payment method of the customer. A basic booking \
stays on its flight.
- Luggage costs {BAG_PRICE} a bag, in all fares, up to {BAGS_A_PASSENGER} bags a passenger. Bags \
can be added, not taken off.
- A passenger's name can be put right in all fares.
- Say no to what these rules forbid. Hand over to a colleague only what is neither forbidden nor \
within what your tools can do. Before you do either, look up the records that it is about.\
"""

# ---- tools


def get_booking(store: Store, booking_id: str) -> str:
    return json.dumps(record(store, "bookings", booking_id))


def search_flights(store: Store, origin: str, destination: str, day: str) -> str:
    wanted = (origin.lower(), destination.lower(), day)
    return json.dumps(
        [
            flight
            for flight in store["flights"].values()
            if (flight["origin"].lower(), flight["destination"].lower(), flight["day"]) == wanted
        ]
    )


def cancel_booking(store: Store, booking_id: str) -> str:
    booking = _open(store, booking_id)
    booking["status"] = "cancelled"
    return json.dumps(booking)


def change_flight(store: Store, booking_id: str, flight_id: str, payment_id: str) -> str:
    booking = _open(store, booking_id)
    flight = record(store, "flights", flight_id)
    old = store["flights"][booking["flight_id"]]
    if (flight["origin"], flight["destination"]) != (old["origin"], old["destination"]):
        raise ValueError("that flight goes from or to elsewhere")
    if flight["seats"] < len(booking["passengers"]):
        raise ValueError("that flight has not seats enough")
    _pays(store, booking, payment_id)
    booking["flight_id"], booking["day"] = flight_id, flight["day"]
    booking["difference_over"] = payment_id
    return json.dumps(booking)


def add_bags(store: Store, booking_id: str, bags: int, payment_id: str) -> str:
    booking = _open(store, booking_id)
    if not 0 < bags <= BAGS_A_PASSENGER * len(booking["passengers"]) - booking["bags"]:
        raise ValueError("so many bags cannot be added")
    _pays(store, booking, payment_id)
    booking["bags"] += bags
    booking["bags_over"] = payment_id
    return json.dumps(booking)


def correct_passenger(store: Store, booking_id: str, old_name: str, new_name: str) -> str:
    booking = _open(store, booking_id)
    if old_name not in booking["passengers"]:
        raise ValueError("nobody of that name is on the booking")
    names = [new_name if each == old_name else each for each in booking["passengers"]]
    booking["passengers"] = names
    return json.dumps(booking)


def _open(store: Store, booking_id: str) -> Any:
    booking = record(store, "bookings", booking_id)
    if booking["status"] != "booked":
        raise ValueError(f"the booking is {booking['status']}")
    return booking


def _pays(store: Store, booking: Mapping[str, Any], payment_id: str) -> None:
    if payment_id not in store["customers"][booking["customer_id"]]["payments"]:
        raise ValueError("the customer has no such payment method")


_BOOKING = "string: like B4QK7Z"

TOOLS: Mapping[str, Tool] = {
    each.name: each
    for each in (
        tool(
            "find_customer",
            "The id of the customer with an e-mail address.",
            find_customer,
            email="string: the address",
        ),
        tool(
            "find_customer_by_name",
            "The id of a customer by name and postcode.",
            find_customer_by_name,
            first_name="string: first name",
            last_name="string: last name",
            postcode="string: five digits",
        ),
        tool(
            "get_customer",
            "A customer's address, payment methods and bookings.",
            get_customer,
            customer_id="string: like c2041",
        ),
        tool(
            "get_booking",
            "A booking: fare, flight, passengers, luggage, price.",
            get_booking,
            booking_id=_BOOKING,
        ),
        tool(
            "search_flights",
            "The flights between two airports on a day.",
            search_flights,
            origin="string: the airport's town",
            destination="string: the airport's town",
            day="string: like 2031-03-14",
        ),
        tool("cancel_booking", "Cancel a booking.", cancel_booking, booking_id=_BOOKING),
        tool(
            "change_flight",
            "Move a booking to another flight.",
            change_flight,
            booking_id=_BOOKING,
            flight_id="string: as a search shows it",
            payment_id="string: over which the difference goes",
        ),
        tool(
            "add_bags",
            "Add luggage to a booking.",
            add_bags,
            booking_id=_BOOKING,
            bags="integer: how many more",
            payment_id="string: over which they are paid",
        ),
        tool(
            "correct_passenger",
            "Put a passenger's name right.",
            correct_passenger,
            booking_id=_BOOKING,
            old_name="string: the name as it is",
            new_name="string: the name as it should be",
        ),
        *SHARED,
    )
}

# ---- worlds

DAYS = 4


@lru_cache(maxsize=64)
def airline(split: str, number: int) -> Domain:
    """The airline of that number, the same every time: its customers, bookings and flights."""
    rng = (Seed(0) / "tau" / "airline" / split / number).random()
    words = WORDS[split]
    flights = _flights(rng, words)
    customers: dict[str, Any] = {}
    bookings: dict[str, Any] = {}
    crowd = people(rng, words)
    for first, last in crowd:
        town = rng.choice(list(words.places))
        name = f"c{fresh(rng, customers, 'c', 4)}"
        customers[name] = {
            "customer_id": name,
            "first_name": first,
            "last_name": last,
            "email": f"{first}.{last}{rng.randrange(10, 100)}@mail.example".lower(),
            "town": town,
            "postcode": f"{words.places[town]}{rng.randrange(1000):03}",
            "payments": [
                f"card_{rng.randrange(1000, 10000)}",
                f"credit_{rng.randrange(1000, 10000)}",
            ],
            "bookings": [],
        }
        for _ in range(2):
            booking = _booking(rng, customers[name], flights, crowd, bookings)
            bookings[booking["booking_id"]] = booking
            customers[name]["bookings"].append(booking["booking_id"])
    tables = {"customers": customers, "bookings": bookings, "flights": flights}
    return Domain(name="airline", tables=tables, tools=TOOLS, policy=POLICY)


def _flights(rng: Random, words: Words) -> dict[str, Any]:
    """Three a day between all airports, at prices that differ."""
    flights: dict[str, Any] = {}
    start = date.fromisoformat(TODAY) + timedelta(days=5)
    for number, (origin, destination) in enumerate(permutations(words.airports, 2)):
        for day in range(DAYS):
            when = (start + timedelta(days=day)).isoformat()
            prices = rng.sample(range(60, 300), 3)
            for slot, hour in enumerate((7, 13, 19)):
                name = f"{words.prefix}{100 + 3 * number + slot}-{when[5:]}"
                flights[name] = {
                    "flight_id": name,
                    "origin": origin,
                    "destination": destination,
                    "day": when,
                    "departs": f"{hour:02}:{rng.randrange(0, 60, 5):02}",
                    "price": prices[slot],
                    "seats": rng.choice((0, 1, 4, 9)) if slot != 1 else 9,
                }
    return flights


_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def _booking(
    rng: Random,
    customer: Any,
    flights: Mapping[str, Any],
    crowd: list[tuple[str, str]],
    taken: Mapping[str, Any],
) -> dict[str, Any]:
    flight = rng.choice([each for each in flights.values() if each["seats"]])
    with_whom = [
        f"{first} {customer['last_name']}" for first, _ in rng.sample(crowd, rng.randint(0, 2))
    ]
    who = [f"{customer['first_name']} {customer['last_name']}", *with_whom]
    who = list(dict.fromkeys(who))
    codes = iter(lambda: "B" + "".join(rng.choices(_LETTERS, k=5)), None)
    ago = rng.choice((0, 6, 20, 41))
    return {
        "booking_id": next(code for code in codes if code not in taken),
        "customer_id": customer["customer_id"],
        "status": "booked",
        "fare": rng.choice(("basic", "standard", "flexible")),
        "made_on": (date.fromisoformat(TODAY) - timedelta(days=ago)).isoformat(),
        "flight_id": flight["flight_id"],
        "origin": flight["origin"],
        "destination": flight["destination"],
        "day": flight["day"],
        "passengers": who,
        "bags": rng.randint(0, 1),
        "price": flight["price"] * len(who),
        "payment_id": customer["payments"][0],
    }
