"""Exponents of growth, and the table of measured and extrapolated costs."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.chains import STEPS
from benchmarks.processes import Cost
from benchmarks.scale.measure import CHAIN, COLD, NEXT, Measured, Size


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Compute the exponent of growth: the least-squares slope of log y over log x; NaN of one."""
    if len(points) < 2:
        return math.nan
    x, y = np.log(np.array(points, dtype=float)).T
    return float(np.polyfit(x, y, 1)[0])


def by_symbols(measured: Sequence[Measured]) -> list[Measured]:
    """Choose the sizes with the number of sessions of the largest, ascending."""
    largest = max(measured, key=lambda item: item.bars)
    chosen = [item for item in measured if item.size.sessions == largest.size.sessions]
    return sorted(chosen, key=lambda item: item.size.symbols)


def by_sessions(measured: Sequence[Measured]) -> list[Measured]:
    """Choose the sizes with that number of symbols which has most of them, ascending."""
    counts = [item.size.symbols for item in measured]
    common = max(counts, key=counts.count)
    chosen = [item for item in measured if item.size.symbols == common]
    return sorted(chosen, key=lambda item: item.size.sessions)


def growth(measured: Sequence[Measured], step: str, axis: str, name: str) -> list[float]:
    """Compute a step's exponent of each cost over some sizes; NaN where fewer than two have it."""
    have = [item for item in measured if step in item.costs[name]]
    return [
        slope([(getattr(item.size, axis), item.costs[name][step][n]) for item in have])
        for n in range(len(Cost._fields))
    ]


def estimate(measured: Sequence[Measured], step: str, wanted: Size, name: str) -> list[float]:
    """Extrapolate a step's costs from the largest size that has it."""
    have = [item for item in by_symbols(measured) if step in item.costs[name]]
    if not have:
        return [math.nan] * len(Cost._fields)
    largest = have[-1]
    exponents = zip(
        growth(have[-2:], step, "symbols", name),
        growth(by_sessions(measured), step, "sessions", name),
        strict=True,
    )
    symbols = wanted.symbols / largest.size.symbols
    sessions = wanted.sessions / largest.size.sessions
    return [
        cost * symbols**first * sessions**second
        for cost, (first, second) in zip(largest.costs[name][step], exponents, strict=True)
    ]


def cells(values: Sequence[float], digits: int) -> str:
    """Write a table's cells; a dash for NaN."""
    return " | ".join("-" if math.isnan(value) else f"{value:,.{digits}f}" for value in values)


def table(measured: Sequence[Measured], wanted: Size) -> Iterator[str]:
    """Write the lines of the Markdown table: every step by size, its exponents, the estimate."""
    rounds = (COLD, NEXT)
    titles = [f"{name}: user CPU s | wall s | MiB" for name in rounds]
    yield f"| step | symbols x sessions | {' | '.join(titles)} |"
    yield "| --- | --- |" + " ---: |" * len(rounds) * len(Cost._fields)
    series = (
        ("exponent by symbols", by_symbols(measured), "symbols"),
        ("exponent by symbols, two largest", by_symbols(measured)[-2:], "symbols"),
        ("exponent by sessions", by_sessions(measured), "sessions"),
    )
    missing = Cost(*[math.nan] * len(Cost._fields))
    for step in (*STEPS, CHAIN):
        for item in measured:
            costs = [figure for name in rounds for figure in item.costs[name].get(step, missing)]
            yield f"| {step} | {item.size} | {cells(costs, 1)} |"
        for label, chosen, axis in series:
            exponents = [figure for name in rounds for figure in growth(chosen, step, axis, name)]
            yield f"| {step} | {label} | {cells(exponents, 2)} |"
        estimates = [figure for name in rounds for figure in estimate(measured, step, wanted, name)]
        yield f"| {step} | estimate for {wanted} | {cells(estimates, 0)} |"
