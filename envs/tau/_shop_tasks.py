"""What customers of the shop want, with what an agent has to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from ._tasks import Call, Goal
from ._tools import Domain

Draw = Callable[[Random, Domain, Mapping[str, Any], Any], Goal | None]
"""A goal about one order of a customer; None when that order does not lend itself to it."""


def _late(order: Mapping[str, Any]) -> bool:
    """Delivered too long ago. The worlds leave a gap around the limit."""
    return order["delivered_on"] is not None and order["delivered_on"] < "2031-02-05"


def _seen(order: Mapping[str, Any], *products: str) -> tuple[Call, ...]:
    looks = [Call("get_order", {"order_id": order["order_id"]})]
    return (*looks, *(Call("get_product", {"product_id": each}) for each in products))


def _which(order: Mapping[str, Any]) -> dict[str, str]:
    return {"order": f"The order is {order['order_id']}."}


def _whole(order: Mapping[str, Any]) -> dict[str, str]:
    names = " and the ".join(item["name"] for item in order["items"])
    return {"item": f"It is all of it, the {names}."}


_REASONS = {
    "no longer needed": ("I do not need it any more.", "I have no more use for it."),
    "ordered by mistake": ("I ordered it by mistake.", "It was a slip: I never meant to order it."),
}


def cancel(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    if order["status"] != "pending":
        return None
    reason = rng.choice(list(_REASONS))
    call = Call("cancel_order", {"order_id": order["order_id"], "reason": reason})
    return Goal(
        kind="cancel",
        ask=(
            "An order of mine has to be cancelled.",
            "There is an order of mine that I would like to call off.",
        ),
        facts={**_which(order), **_whole(order), "reason": rng.choice(_REASONS[reason])},
        looks=_seen(order),
        calls=(call,),
    )


def redirect(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    if order["status"] != "pending":
        return None
    others = [c for c in domain.tables["customers"].values() if c["street"] != customer["street"]]
    to = rng.choice(others)
    call = Call(
        "change_order_address",
        {
            "order_id": order["order_id"],
            "street": to["street"],
            "town": to["town"],
            "postcode": to["postcode"],
        },
    )
    return Goal(
        kind="redirect",
        ask=(
            "An order of mine should go to another address.",
            "I would like a parcel sent elsewhere.",
        ),
        facts={
            **_which(order),
            **_whole(order),
            "address": f"It should go to {to['street']}, {to['town']}, postcode {to['postcode']}.",
        },
        looks=_seen(order),
        calls=(call,),
        right=(to["street"],),
        wrong=(customer["street"],),
    )


def _variant(
    rng: Random, domain: Domain, item: Any, *, available: bool
) -> tuple[str, str, str] | None:
    """Another variant that differs in one option: its id, the option and the value there."""
    variants = domain.tables["products"][item["product_id"]]["variants"]
    found = [
        (name, option, each["options"][option])
        for name, each in variants.items()
        for option in item["options"]
        if each["options"][option] != item["options"][option]
        and all(each["options"][o] == v for o, v in item["options"].items() if o != option)
        and each["available"] is available
    ]
    return rng.choice(found) if found else None


def swap(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    """Another variant: in a pending order by a change, of a delivered one by an exchange."""
    item = rng.choice(order["items"])
    found = _variant(rng, domain, item, available=True)
    if found is None or _late(order):
        return None
    new, option, value = found
    pending = order["status"] == "pending"
    call = Call(
        "change_order_items" if pending else "exchange_items",
        {
            "order_id": order["order_id"],
            "item_ids": [item["item_id"]],
            "new_item_ids": [new],
            "payment_id": order["payment_id"],
        },
    )
    asks = (
        ("I chose the wrong thing in an order that has not come yet.", "Could you change an order?")
        if pending
        else ("I would like to exchange something.", "I got a thing that I want to swap.")
    )
    return Goal(
        kind="change" if pending else "exchange",
        ask=asks,
        facts={**_which(order), **_wish(item, option, value), **_PAYS},
        looks=_seen(order, item["product_id"]),
        calls=(call,),
        right=(value,),
        wrong=_others(domain, item, option, value),
    )


_PAYS = {"payment": "The money goes over what I paid with, please."}


def _wish(item: Any, option: str, value: str) -> dict[str, str]:
    return {
        "item": f"It is the {item['name']}.",
        "option": f"I would like the {option} to be {value}, and all else as it is.",
    }


def _others(domain: Domain, item: Any, option: str, value: str) -> tuple[str, ...]:
    variants = domain.tables["products"][item["product_id"]]["variants"].values()
    return tuple(sorted({each["options"][option] for each in variants} - {value}))


def send_back(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    if order["status"] != "delivered" or _late(order):
        return None
    items = rng.sample(order["items"], rng.randint(1, 2))
    gift = next(each for each in customer["payments"] if each.startswith("gift"))
    to_gift = rng.random() < 0.3
    call = Call(
        "return_items",
        {
            "order_id": order["order_id"],
            "item_ids": sorted(item["item_id"] for item in items),
            "payment_id": gift if to_gift else order["payment_id"],
        },
    )
    names = " and the ".join(item["name"] for item in items)
    pays = {"payment": "I want the refund on my gift card."} if to_gift else _PAYS
    return Goal(
        kind="return",
        ask=("Something has to go back to you.", "I would like to return something that came."),
        facts={**_which(order), "item": f"It is the {names}.", **pays},
        looks=_seen(order),
        calls=(call,),
    )


def price(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    # Of two things alone the sum would be on any list of sums.
    if len(order["items"]) < 3:
        return None
    items = rng.sample(order["items"], 2)
    names = " and the ".join(item["name"] for item in items)
    return Goal(
        kind="price",
        ask=("I would like to know what I paid for two things.", "I need a sum for my accounts."),
        facts={**_which(order), "item": f"The {names}: how much were they together?"},
        looks=_seen(order),
        outputs=(_sum(items),),
    )


def _sum(items: list[Any]) -> str:
    return f"{round(sum(item['price'] for item in items), 2):g}"


def too_late(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    if not _late(order):
        return None
    item = rng.choice(order["items"])
    asks_price = rng.random() < 0.5
    return Goal(
        kind="late",
        ask=("Something has to go back to you.", "I would like to return something that came."),
        facts={**_which(order), "item": f"It is the {item['name']}.", **_PAYS},
        looks=_seen(order),
        why="it was delivered more than 30 days ago",
        fallback=f"Then tell me at least what the {item['name']} cost me." if asks_price else "",
        outputs=(_sum([item]),) if asks_price else (),
    )


def sold_out(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    """An exchange for what is not available; then it should be taken back."""
    item = rng.choice(order["items"])
    found = _variant(rng, domain, item, available=False)
    if found is None or order["status"] != "delivered" or _late(order):
        return None
    _, option, value = found
    call = Call(
        "return_items",
        {
            "order_id": order["order_id"],
            "item_ids": [item["item_id"]],
            "payment_id": order["payment_id"],
        },
    )
    return Goal(
        kind="sold out",
        ask=("I would like to exchange something.", "I got a thing that I want to swap."),
        facts={**_which(order), **_wish(item, option, value), **_PAYS},
        looks=_seen(order, item["product_id"]),
        calls=(call,),
        why="that variant is not available at the moment",
        fallback=f"Then I would rather return the {item['name']}.",
    )


def beyond(rng: Random, domain: Domain, customer: Mapping[str, Any], order: Any) -> Goal | None:
    if rng.random() < 0.5:
        return None
    wish = rng.choice(
        (
            "I need an invoice made out to my company.",
            "Somebody else has logged in to my account.",
            "We need fifty of a thing for our office, at a better price.",
            "The parcel was open when it came, and the courier was rude.",
        )
    )
    return Goal(
        kind="beyond",
        ask=(wish,),
        facts=_which(order),
        looks=(Call("get_customer", {"customer_id": customer["customer_id"]}),),
        calls=(Call("transfer_to_human", {"summary": wish}),),
    )


DRAWS: tuple[Draw, ...] = (
    cancel,
    redirect,
    swap,
    swap,
    send_back,
    price,
    too_late,
    sold_out,
    beyond,
)
