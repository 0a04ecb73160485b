"""This module is where the provider's own bill becomes a cost: its total stands, the parts are its own or listed."""

from __future__ import annotations

from decimal import Decimal

from aicore_obs.model.cost import BILL, ESTIMATE, EXACT, Bill, Cost, CostLine, money
from aicore_obs.pricing.charge import MAX_USD, ZERO
from aicore_obs.pricing.units import INPUT, OTHER, OUTPUT


def is_usable(bill: Bill) -> bool:
    """Return whether a bill states an amount that can be one."""
    return _is_amount(bill.total)


def billed(bill: Bill, listed: Cost) -> Cost:
    """Return the cost that a bill states; ``listed`` is what the same call costs by the list, known or not.

    Input and output are the bill's own parts; else the list's when they explain the bill, with what is above them as a
    line ``other``. A bill below the list was made by other prices, and its parts are unknown.
    """
    total = money(bill.total)
    read, made, lines = _parts(bill, total, listed)
    return Cost(
        total=total,
        input=read,
        output=made,
        source=ESTIMATE if bill.is_estimate else BILL,
        model=listed.model,
        price_id=f"bill:{bill.path}",
        book=listed.book,
        lines=lines,
    )


def _parts(bill: Bill, total: Decimal, listed: Cost) -> tuple[Decimal | None, Decimal | None, tuple[CostLine, ...]]:
    if bill.input is not None and bill.output is not None and _is_amount(bill.input) and _is_amount(bill.output):
        read, made = money(bill.input), money(bill.output)
        above = EXACT.subtract(total, EXACT.add(read, made))
        if above >= 0:
            lines = (_line("input", read, INPUT), _line("output", made, OUTPUT), _line("other", above, OTHER))
            return read, made, tuple(line for line in lines if line.amount)
    if listed.total is not None and listed.input is not None and listed.output is not None:
        above = EXACT.subtract(total, listed.total)
        if above >= 0:
            rest = (_line("other", above, OTHER),) if above else ()
            return listed.input, listed.output, (*listed.lines, *rest)
    return (ZERO, ZERO, ()) if not total else (None, None, ())


def _line(unit: str, amount: Decimal, side: str) -> CostLine:
    return CostLine(unit=unit, amount=amount, side=side)


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and 0 <= value <= MAX_USD
