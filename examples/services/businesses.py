"""What each example service answers. It follows from the input alone, so that a run can be foretold.

A business takes the input and a number plate for what it makes; it returns the answer or raises `Refusal`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledger import Refusal

DECLINED_CARD = "4000-0000-0000-0002"
NIGHTS_MAX = 30
PIECES_MAX = 100
BUDGET = 5000
DISPOSABLE = "@mailinator.example"
COUNTRIES_OF_PAYROLL = ("AT", "CH", "DE", "FR", "NL")

Business = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Method:
    """One method of a service.

    Attributes:
        answer: Its business.
        effect: Whether it changes anything.
    """

    answer: Business
    effect: bool = True


def field(given: Any, name: str, default: Any = None) -> Any:
    """A field of the input, if the input is a mapping that has it."""
    return given.get(name, default) if isinstance(given, dict) else default


# --- trip ---


def reserve_hotel(given: Any, plate: str) -> Any:
    """A room; sold out beyond 30 nights."""
    nights = field(given, "nights", 1)
    if nights > NIGHTS_MAX:
        raise Refusal("sold_out", f"No room is free for {nights} nights.", nights=nights)
    return {"id": f"hotel-{plate}", "stars": 5 if nights > 3 else 3, "price": 90 * nights}


def book_flight(given: Any, plate: str) -> Any:
    """A seat, to anywhere but Atlantis."""
    if field(given, "destination") == "Atlantis":
        raise Refusal("no_such_airport", "Nobody flies to Atlantis any more.")
    return {"id": f"flight-{plate}", "price": 240}


def book_train(_given: Any, plate: str) -> Any:
    """A seat."""
    return {"id": f"train-{plate}", "price": 60}


def add_spa(_given: Any, plate: str) -> Any:
    """A day in the spa."""
    return {"id": f"spa-{plate}", "price": 80}


def city_map(_given: Any, _plate: str) -> Any:
    """A map; nothing is booked."""
    return {"map": "A map of the city, with the station marked.", "price": 0}


def charge(given: Any, plate: str) -> Any:
    """Money from a card, unless it is the declined one."""
    if field(given, "card") == DECLINED_CARD:
        raise Refusal("card_declined", "The bank declined the card.", card_ends_in=DECLINED_CARD[-4:])
    return {"id": f"payment-{plate}", "amount": field(given, "amount", 0)}


# --- orders ---


def reserve_stock(given: Any, plate: str) -> Any:
    """Goods, up to 100 pieces."""
    wanted = sum(field(item, "quantity", 1) for item in field(given, "items", []))
    if wanted > PIECES_MAX:
        raise Refusal("out_of_stock", f"{wanted} pieces are wanted, and {PIECES_MAX} are there.", wanted=wanted)
    return {"id": f"stock-{plate}", "pieces": wanted}


def confirm_stock(given: Any, plate: str) -> Any:
    """Reserved goods become sold ones, unless they were found broken."""
    if field(given, "broken"):
        raise Refusal("goods_broken", "The goods fell off the shelf.")
    return {"id": f"parcel-{plate}"}


def score_fraud(given: Any, _plate: str) -> Any:
    """A bad score for customers at example.test."""
    return {"score": 95 if str(field(given, "customer", "")).endswith("@example.test") else 5}


def book_parcel(_given: Any, plate: str) -> Any:
    """A parcel carrier."""
    return {"tracking": f"P-{plate}", "carrier": "parcels", "days": 2}


def book_freight(_given: Any, plate: str) -> Any:
    """A freight carrier."""
    return {"tracking": f"F-{plate}", "carrier": "freight", "days": 6}


# --- firmware ---


def resolve_image(given: Any, _plate: str) -> Any:
    """The image of a channel and version."""
    version = field(given, "version", "")
    if version == "0.0.0":
        raise Refusal("no_such_image", "There is no image of version 0.0.0.", status=404)
    return {"image": f"{field(given, 'channel', 'stable')}-{version}.bin", "version": version}


def flash(given: Any, _plate: str) -> Any:
    """A device flashed, unless its battery is low."""
    device = str(field(given, "device", ""))
    if device.endswith("-lowbattery"):
        raise Refusal("battery_low", f"{device} has too little charge to be flashed.", device=device)
    return {"device": device, "image": field(given, "image"), "previous": "1.0.0"}


def device_health(given: Any, _plate: str) -> Any:
    """Which devices are not well: those that are called crashing."""
    devices = field(given, "devices") or [field(given, "device", "")]
    sick = [device for device in devices if str(device).endswith("-crashing")]
    return {"healthy": not sick, "unhealthy": sick}


# --- purchase ---


def hold_budget(given: Any, plate: str) -> Any:
    """Money put aside, up to what a department has."""
    amount = field(given, "amount", 0)
    if amount > BUDGET:
        raise Refusal("over_budget", f"{amount} is wanted, and {BUDGET} is left.", left=BUDGET)
    return {"id": f"hold-{plate}", "left": BUDGET - amount}


def ask(given: Any, plate: str) -> Any:
    """A question on somebody's desk."""
    return {"id": f"question-{plate}", "who": field(given, "who")}


def place_order(given: Any, plate: str) -> Any:
    """An order at a supplier."""
    return {"order": f"PO-{plate}", "article": field(given, "article")}


# --- contacts ---


def create_contact(given: Any, plate: str) -> Any:
    """A contact, if it has an address that can be one."""
    email = str(field(given, "email", "nobody@example.org"))
    if "@" not in email:
        raise Refusal("bad_address", f"{email!r} is no e-mail address.", email=email)
    return {"id": f"contact-{plate}", "email": email}


def subscribe(given: Any, plate: str) -> Any:
    """A subscription, but not for addresses that are thrown away."""
    email = str(field(given, "email", ""))
    if email.endswith(DISPOSABLE):
        raise Refusal("disposable_address", f"{email} is thrown away after use.", email=email)
    return {"id": f"subscription-{plate}"}


# --- onboarding ---


def create_account(given: Any, plate: str) -> Any:
    """An account, named after the person."""
    name = str(field(given, "name", "nobody"))
    return {"id": f"account-{plate}", "login": name.lower().replace(" ", ".")}


def review_account(given: Any, _plate: str) -> Any:
    """What an auditor notes; nothing is changed."""
    return {"account": field(given, "account"), "remark": "seen"}


def enroll(given: Any, plate: str) -> Any:
    """A place on the payroll, in the countries that have one."""
    country = field(given, "country", "DE")
    if country not in COUNTRIES_OF_PAYROLL:
        raise Refusal("no_payroll", f"There is no payroll in {country}.", country=country)
    return {"id": f"payroll-{plate}"}


def done(_given: Any, plate: str) -> Any:
    """An answer to a request that always succeeds, such as an undo."""
    return {"done": True, "id": plate}


SERVICES: dict[str, dict[str, Method]] = {
    "hotels": {
        "reserve": Method(reserve_hotel), "cancel": Method(done), "add_spa": Method(add_spa),
        "drop_spa": Method(done), "city_map": Method(city_map, effect=False),
    },
    "flights": {"book": Method(book_flight), "cancel": Method(done)},
    "trains": {"book": Method(book_train), "cancel": Method(done)},
    "payments": {
        "charge": Method(charge), "authorize": Method(charge), "void": Method(done),
        "capture": Method(done), "refund": Method(done),
    },
    "mail": {"send": Method(done)},
    "inventory": {"reserve": Method(reserve_stock), "release": Method(done), "confirm": Method(confirm_stock)},
    "fraud": {"score": Method(score_fraud, effect=False)},
    "parcels": {"book": Method(book_parcel), "cancel": Method(done)},
    "freight": {"book": Method(book_freight), "cancel": Method(done)},
    "warehouse": {"wrap": Method(done), "unwrap": Method(done)},
    "images": {"resolve": Method(resolve_image, effect=False)},
    "fleet": {
        "flash": Method(flash), "restore": Method(done), "health": Method(device_health, effect=False),
        "publish": Method(done),
    },
    "budgets": {"hold": Method(hold_budget), "release": Method(done)},
    "desk": {"ask": Method(ask), "withdraw": Method(done)},
    "purchasing": {"order": Method(place_order), "cancel": Method(done)},
    "contacts": {"create": Method(create_contact), "remove": Method(done)},
    "newsletter": {"subscribe": Method(subscribe), "unsubscribe": Method(done)},
    "accounts": {
        "create": Method(create_account), "remove": Method(done), "review": Method(review_account, effect=False),
    },
    "badges": {"make": Method(done), "void": Method(done)},
    "payroll": {"enroll": Method(enroll), "remove": Method(done)},
}  # fmt: skip
