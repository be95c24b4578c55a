"""Money is exact from the request to the answer: no float, no rounding, and JavaScript reads the same amount."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_samples import DIGITS, body, create, item, prices, read_json
from orders import money, requests
from orders.app import OrderService
from orders.details import details
from orders.domain import OrderCreated, order
from orders.queries import GetDashboard, GetOrder
from twofold.testing.scenario import ProjectionScenario

CURRENCIES = st.sampled_from(list(DIGITS))


def amount_of(currency: str) -> st.SearchStrategy[Decimal]:
    """Any amount up to the largest, with the digits of its currency."""
    most = int(money.LARGEST * 10 ** DIGITS[currency])
    return st.integers(0, most).map(lambda units: Decimal(units).scaleb(-DIGITS[currency]))


AMOUNTS = CURRENCIES.flatmap(lambda currency: st.tuples(st.just(currency), amount_of(currency)))


@pytest.mark.parametrize(
    ("currency", "digits"), [("JPY", 0), ("KRW", 0), ("USD", 2), ("EUR", 2), ("KWD", 3), ("XYZ", 2)]
)
def test_a_currency_has_its_digits(currency: str, digits: int) -> None:
    assert money.digits(currency) == digits


@pytest.mark.parametrize(
    ("sent", "currency", "kept"),
    [
        ("9.8", "USD", "9.80"),
        ("9.800000", "USD", "9.80"),
        ("1e2", "USD", "100.00"),
        ("1E+2", "JPY", "100"),
        ("100.00", "JPY", "100"),
        ("0.001", "KWD", "0.001"),
        ("999999999.99", "USD", "999999999.99"),
        ("999999999.99", "KWD", "999999999.990"),
        ("9.801", "USD", None),
        ("0.5", "JPY", None),
        ("0.0001", "KWD", None),
        ("1e-400", "USD", None),
        ("9.80" + "0" * 100 + "1", "USD", None),
    ],
)
def test_an_amount_is_kept_exactly_or_not_at_all(sent: str, currency: str, kept: str | None) -> None:
    exact = money.exact(Decimal(sent), currency)
    assert (None if exact is None else str(exact)) == kept


@given(AMOUNTS)
def test_minor_units_and_back_is_the_same_amount(sent: tuple[str, Decimal]) -> None:
    currency, amount = sent
    units = money.minor_units(amount, currency)
    assert units == Fraction(amount) * 10 ** DIGITS[currency]
    assert str(money.from_minor_units(units, currency)) == str(amount)


@settings(deadline=None)
@given(
    CURRENCIES.flatmap(
        lambda currency: st.tuples(st.just(currency), st.lists(prices(currency), min_size=1, max_size=50))
    )
)
def test_an_order_is_summed_exactly_and_sent_exactly(sent: tuple[str, Sequence[Decimal]]) -> None:
    currency, amounts = sent
    items = [item(price=str(price), quantity=7) for price in amounts]
    command = requests.create_order("1", body(items=items), currency)
    (event,) = order.decide(command, order.initial)
    assert isinstance(event, OrderCreated)
    (view,) = ProjectionScenario(details.projection).given(event, stream="order-1").rows().values()
    answer = read_json(details.encode(view))
    assert Fraction(answer["totalAmount"]) == sum((Fraction(price) * 7 for price in amounts), start=Fraction(0))
    for shown, price in zip(answer["items"], amounts, strict=True):
        assert (Fraction(shown["price"]), Fraction(shown["subtotal"])) == (Fraction(price), Fraction(price) * 7)


@pytest.mark.parametrize("price", ["0.1", "0.07", "4.35", "1.10", "9.95", "19.99", "999999999.99", "8388608.01"])
async def test_an_amount_that_a_float_would_spoil_comes_back_as_it_was_sent(service: OrderService, price: str) -> None:
    sent = read_json(json.dumps(body(items=[item(quantity=1, price=0)])).replace('"price": 0', f'"price": {price}'))
    await service.commands.execute(requests.create_order("1", sent, "USD"))
    document = await service.queries.ask(GetOrder("1"))
    assert document is not None
    exact = str(Decimal(price).quantize(Decimal("0.01")))
    assert f'"price":{exact},"subtotal":{exact}' in bytes(document.body).decode()  # a number, not a text


async def test_ten_times_ten_cents_is_one_dollar(service: OrderService) -> None:
    for number in range(10):
        await service.commands.execute(create(f"{number}", items=[item(quantity=1, price=Decimal("0.10"))]))
    dashboard = await service.queries.ask(GetDashboard())
    assert str(dashboard.total_revenue) == "1.00"


@given(AMOUNTS)
def test_no_setting_of_the_decimal_module_changes_an_amount(sent: tuple[str, Decimal]) -> None:
    currency, amount = sent
    with localcontext(prec=15):  # as many digits as an amount may have
        assert money.exact(amount, currency) == amount
        assert money.from_minor_units(money.minor_units(amount, currency), currency) == amount


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: no JavaScript client to ask")
def test_a_javascript_client_reads_the_amount_that_was_sent() -> None:
    """What `JSON.parse` reads prints as the same decimal: the nearest double's shortest text is the amount itself."""
    largest = int(money.LARGEST * 1000)
    units = [1, 10, 99, 100, 101, 100_000_000_000, largest - 1, largest, *range(7, largest, largest // 2000)]
    amounts = [money.from_minor_units(unit, currency) for unit in units for currency in ("USD", "KWD")]
    amounts += [Decimal("9999999999999.99")]  # a dashboard's sum: 15 digits, the most that every double keeps
    sent = msgspec.json.Encoder(decimal_format="number").encode(amounts)
    script = "process.stdout.write(JSON.parse(require('fs').readFileSync(0)).map(String).join('\\n'))"
    node = shutil.which("node") or "node"
    read = subprocess.run([node, "-e", script], input=sent, capture_output=True, check=True, timeout=60).stdout
    assert [Decimal(text) for text in read.decode().split("\n")] == amounts
