"""Retail: a shop with orders that are changed, sent back and exchanged. Tools, policy, worlds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from itertools import product as combinations
from random import Random
from typing import Any

from ...engine import Seed
from ._store import Store
from ._tools import SHARED, Domain, Tool, tool
from ._words import TODAY, WORDS, Words

RETURN_DAYS = 30

POLICY = f"""\
# What holds in this shop
Today is {TODAY}.
- First find out who the customer is, by e-mail address or by name and postcode, even when you are \
told an order number. Help with that customer's own orders only.
- Before you change anything say what you are about to do, and wait for a yes.
- A pending order can be cancelled, sent elsewhere, or have items replaced by other variants of the \
same product. The reason of a cancellation is `no longer needed` or `ordered by mistake`; another is \
none.
- A delivered order can be returned or exchanged in part or whole up to {RETURN_DAYS} days after its \
delivery, later it cannot. An exchange is for another variant of the same product that is available.
- Refunds and differences go over the payment method of the order, or a gift card of the customer.
- One return or exchange an order: ask for everything first.
- Say no to what these rules forbid. Hand over to a colleague only what is neither forbidden nor \
within what your tools can do. Before you do either, look up the records that it is about.\
"""

# ---- tools


def _json(value: object) -> str:
    return json.dumps(value)


def find_customer(store: Store, email: str) -> str:
    for name, each in store["customers"].items():
        if each["email"] == email.strip().lower():
            return name
    return "Error: there is no customer with that e-mail address"


def find_customer_by_name(store: Store, first_name: str, last_name: str, postcode: str) -> str:
    wanted = (first_name.lower(), last_name.lower(), postcode)
    for name, each in store["customers"].items():
        if (each["first_name"].lower(), each["last_name"].lower(), each["postcode"]) == wanted:
            return name
    return "Error: there is no customer of that name and postcode"


def get_customer(store: Store, customer_id: str) -> str:
    return _json(record(store, "customers", customer_id))


def get_order(store: Store, order_id: str) -> str:
    return _json(record(store, "orders", order_id))


def get_product(store: Store, product_id: str) -> str:
    return _json(record(store, "products", product_id))


def cancel_order(store: Store, order_id: str, reason: str) -> str:
    order = _order(store, order_id, "pending")
    if reason not in ("no longer needed", "ordered by mistake"):
        raise ValueError("that is no reason for a cancellation")
    order["status"], order["reason"] = "cancelled", reason
    return _json(order)


def change_order_address(store: Store, order_id: str, street: str, town: str, postcode: str) -> str:
    order = _order(store, order_id, "pending")
    order["address"] = {"street": street, "town": town, "postcode": postcode}
    return _json(order)


def change_order_items(
    store: Store, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_id: str
) -> str:
    order = _order(store, order_id, "pending")
    items = _replaced(store, order, item_ids, new_item_ids)
    _payment(store, order, payment_id)
    order["items"], order["difference_over"] = items, payment_id
    return _json(order)


def exchange_items(
    store: Store, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_id: str
) -> str:
    order = _order(store, order_id, "delivered")
    _replaced(store, order, item_ids, new_item_ids)
    _payment(store, order, payment_id)
    order["status"] = "exchange requested"
    order["exchange"] = sorted(zip(item_ids, new_item_ids, strict=True))
    order["exchange"] = [list(pair) for pair in order["exchange"]]
    order["difference_over"] = payment_id
    return _json(order)


def return_items(store: Store, order_id: str, item_ids: list[str], payment_id: str) -> str:
    order = _order(store, order_id, "delivered")
    _owned(order, item_ids)
    _payment(store, order, payment_id)
    order["status"], order["returned"] = "return requested", sorted(item_ids)
    order["refund_over"] = payment_id
    return _json(order)


def record(store: Store, table: str, key: str) -> Any:
    if key not in store[table]:
        raise ValueError(f"{table[:-1]} not found")
    return store[table][key]


def _order(store: Store, order_id: str, status: str) -> Any:
    order = record(store, "orders", order_id)
    if order["status"] != status:
        raise ValueError(f"the order is {order['status']}, not {status}")
    return order


def _owned(order: Mapping[str, Any], item_ids: list[str]) -> None:
    owned = [item["item_id"] for item in order["items"]]
    if not item_ids or len(item_ids) > len(owned) or len(set(item_ids)) < len(item_ids):
        raise ValueError("name each item once, and at least one")
    if not set(item_ids) <= set(owned):
        raise ValueError("that item is not in the order")


def _payment(store: Store, order: Mapping[str, Any], payment_id: str) -> None:
    if payment_id not in store["customers"][order["customer_id"]]["payments"]:
        raise ValueError("the customer has no such payment method")
    if payment_id != order["payment_id"] and not payment_id.startswith("gift"):
        raise ValueError("it goes over the order's payment method or a gift card")


def _replaced(
    store: Store, order: Mapping[str, Any], item_ids: list[str], new_item_ids: list[str]
) -> list[Any]:
    """The order's items with some replaced by others, all of it checked before any change."""
    _owned(order, item_ids)
    if len(item_ids) != len(new_item_ids):
        raise ValueError("as many new items as old ones")
    swaps = dict(zip(item_ids, new_item_ids, strict=True))
    items: list[Any] = []
    for item in order["items"]:
        new = swaps.get(item["item_id"])
        if new is None:
            items.append(item)
            continue
        variants = store["products"][item["product_id"]]["variants"]
        if new not in variants or not variants[new]["available"]:
            raise ValueError("that variant is not available of this product")
        items.append(
            {**item, "item_id": new, **{k: variants[new][k] for k in ("options", "price")}}
        )
    return items


_SWAP = {
    "order_id": "string: like #R10234",
    "item_ids": "array: the items that go",
    "new_item_ids": "array: what replaces each, in the same order",
    "payment_id": "string: over which the difference goes",
}

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
            "A customer's address, payment methods and orders.",
            get_customer,
            customer_id="string: like c2041",
        ),
        tool(
            "get_order",
            "An order with its items, status and dates.",
            get_order,
            order_id="string: like #R10234",
        ),
        tool(
            "get_product",
            "A product's variants: options, price, whether it is available.",
            get_product,
            product_id="string: like p310",
        ),
        tool(
            "cancel_order",
            "Cancel a pending order.",
            cancel_order,
            order_id="string: like #R10234",
            reason="string: `no longer needed` or `ordered by mistake`",
        ),
        tool(
            "change_order_address",
            "Send a pending order elsewhere.",
            change_order_address,
            order_id="string: like #R10234",
            street="string: street and number",
            town="string: town",
            postcode="string: five digits",
        ),
        tool(
            "change_order_items", "Replace items of a pending order.", change_order_items, **_SWAP
        ),
        tool("exchange_items", "Exchange items of a delivered order.", exchange_items, **_SWAP),
        tool(
            "return_items",
            "Take items of a delivered order back.",
            return_items,
            order_id="string: like #R10234",
            item_ids="array: the items that come back",
            payment_id="string: over which the refund goes",
        ),
        *SHARED,
    )
}

# ---- worlds

CUSTOMERS = 12


@lru_cache(maxsize=64)
def shop(split: str, number: int) -> Domain:
    """The shop of that number, the same every time: its customers, orders and products."""
    rng = (Seed(0) / "tau" / "retail" / split / number).random()
    words = WORDS[split]
    products = _products(rng, words)
    customers: dict[str, Any] = {}
    orders: dict[str, Any] = {}
    for first, last in people(rng, words):
        town = rng.choice(list(words.places))
        name = f"c{fresh(rng, customers, 'c', 4)}"
        card, gift = f"card_{rng.randrange(1000, 10000)}", f"gift_{rng.randrange(1000, 10000)}"
        customers[name] = {
            "customer_id": name,
            "first_name": first,
            "last_name": last,
            "email": f"{first}.{last}{rng.randrange(10, 100)}@mail.example".lower(),
            "street": f"{rng.randrange(1, 120)} {rng.choice(words.streets)}",
            "town": town,
            "postcode": f"{words.places[town]}{rng.randrange(1000):03}",
            "payments": [card, gift],
            "orders": [],
        }
        for _ in range(rng.randint(2, 3)):
            order = _order_of(rng, customers[name], products, f"#R{fresh(rng, orders, '#R', 5)}")
            orders[order["order_id"]] = order
            customers[name]["orders"].append(order["order_id"])
    tables = {"customers": customers, "orders": orders, "products": products}
    return Domain(name="retail", tables=tables, tools=TOOLS, policy=POLICY)


def people(rng: Random, words: Words) -> list[tuple[str, str]]:
    return rng.sample(list(combinations(words.first, words.last)), CUSTOMERS)


def fresh(rng: Random, taken: Mapping[str, Any], prefix: str, digits: int) -> int:
    low = 10 ** (digits - 1)
    return next(
        n for n in iter(lambda: rng.randrange(low, 10 * low), None) if f"{prefix}{n}" not in taken
    )


def _products(rng: Random, words: Words) -> dict[str, Any]:
    products: dict[str, Any] = {}
    items: dict[str, Any] = {}
    for good, options in words.goods.items():
        name = f"p{fresh(rng, products, 'p', 3)}"
        price = rng.randrange(1500, 9000)
        variants: dict[str, Any] = {}
        for values in combinations(*options.values()):
            item = f"i{fresh(rng, items, 'i', 5)}"
            items[item] = name
            variants[item] = {
                "options": dict(zip(options, values, strict=True)),
                "price": round((price + rng.randrange(-400, 400)) / 100, 2),
                "available": rng.random() < 0.75,
            }
        products[name] = {"product_id": name, "name": good, "variants": variants}
    return products


def _order_of(rng: Random, customer: Any, products: Mapping[str, Any], name: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for product in rng.sample(list(products.values()), rng.randint(2, 4)):
        item = rng.choice(list(product["variants"]))
        variant = product["variants"][item]
        items.append(
            {
                "item_id": item,
                "product_id": product["product_id"],
                "name": product["name"],
                "options": variant["options"],
                "price": variant["price"],
            }
        )
    kind = rng.choice(("pending", "pending", "recent", "recent", "late"))
    delivered = date.fromisoformat(TODAY) - timedelta(
        days=rng.randint(3, 24) if kind == "recent" else rng.randint(40, 90)
    )
    return {
        "order_id": name,
        "customer_id": customer["customer_id"],
        "status": "pending" if kind == "pending" else "delivered",
        "delivered_on": None if kind == "pending" else delivered.isoformat(),
        "address": {key: customer[key] for key in ("street", "town", "postcode")},
        "items": items,
        "payment_id": rng.choice(customer["payments"]),
    }
