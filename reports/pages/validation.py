"""Page of the validation: bars that may reach a model, and the problems of the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.pages.html import bullets, facts, folded, heading, page, paragraph, pictures, table
from reports.plots.figure import Picture
from reports.text.counts import count_of
from reports.text.numbers import format_percent
from stockpred.bars.checks.limits import UNTRADABLE_ROWS
from stockpred.bars.checks.tradability import SIGNS, describe_untradable

SHOWN = 50  # rows of a table; validation.json has them all
OPEN = 10  # of them not folded
WORDS = (
    "level",
    "rule",
    "first example",
    "calendar",
    "first missing",
    "first extra",
    "first",
    "last",
    "checks that failed",
    "reason",
)


def validation_summary(content: Mapping[str, Any]) -> str:
    """Summarise a validation: bars that may reach a model, what was taken out, warnings."""
    kept, listed, symbols = content["bars"], content["listed"], content["symbols"]
    dropped, stretches = len(content["dropped"]), len(content["quarantined"])
    first = f"{kept:,} of {listed:,} bars of {count_of(symbols, 'symbol')} may reach a model"
    taken = (
        f"{_count(stretches, 'stretch', 'stretches')} and {_count(dropped, 'whole symbol')} were"
    )
    warned = [c["check"] for c in content["checks"] if c["level"] == "warn" and c["count"]]
    found = f"Look at the warnings of {', '.join(warned)}" if warned else "There is no warning"
    untradable = len({y["symbol"] for y in content["tradability"]["years"] if y["above"]})
    doubt = f" Prices of {count_of(untradable, 'symbol')} could hardly be traded at."
    return f"{first}; {taken} taken out. {found}.{doubt if untradable else ''}"


def describe_gaps(content: Mapping[str, Any]) -> str | None:
    """State how many long gaps cut the history, and how many rows that costs; None without one."""
    gaps = content["long_gaps"]
    if not gaps["count"]:
        return None
    rows = f"{gaps['rows']:,} row{' has' if gaps['rows'] == 1 else 's have'}"
    cut = "cuts" if gaps["count"] == 1 else "cut"
    return (
        f"{count_of(gaps['count'], 'gap')} of more than {gaps['days']} days in "
        f"{count_of(gaps['symbols'], 'symbol')} {cut} the history: {rows} no whole look-back "
        "after one, and no label crosses one"
    )


def _count(number: int, noun: str, plural: str = "") -> str:
    return count_of(number, noun, plural) if number else f"no {plural or noun + 's'}"


def render_validation_page(content: Mapping[str, Any], picture: Picture | None) -> str:
    """Render the page of a validation.

    Parameters
    ----------
    content : mapping
        Content of validation.json.
    picture : Picture, optional
        Of the missing sessions.

    Returns
    -------
    str
        A self-contained HTML document.
    """
    calendars = content["sessions"]
    unchecked = sorted({gaps["calendar"] for gaps in calendars.values() if not gaps["expected"]})
    with_gaps = sorted(
        ((symbol, g) for symbol, g in calendars.items() if g["missing"] or g["extra"]),
        key=lambda item: -item[1]["missing"] - item[1]["extra"],
    )
    body = [
        paragraph(validation_summary(content), lead=True),
        _overview(content),
        heading("Checks"),
        paragraph(
            "A failed check quarantines its bars: no look-back and no label crosses them. A "
            "warning keeps them."
        ),
        *_checks(content["checks"]),
        heading("Sessions"),
        *(
            [pictures([("Share of sessions missing, by symbol and time", picture)])]
            if picture
            else []
        ),
        *_table(
            ("symbol", "calendar", "expected", "missing", "extra", "first missing", "first extra"),
            [
                (
                    symbol,
                    g["calendar"],
                    g["expected"],
                    g["missing"],
                    g["extra"],
                    ", ".join(g["first_missing"]),
                    ", ".join(g["first_extra"]),
                )
                for symbol, g in with_gaps
            ],
            "Every session of the known calendars has its bar, and there is no other."
            if any(g["expected"] for g in calendars.values())
            else "No symbol has a calendar to compare with.",
        ),
        *([paragraph(f"{cut}.")] if (cut := describe_gaps(content)) else []),
        *([paragraph(f"Not checked, since unknown: {', '.join(unchecked)}.")] if unchecked else []),
        heading("Tradability"),
        *_tradability(content["tradability"]),
        heading("Taken out"),
        *_table(
            ("symbol", "first", "last", "checks that failed"),
            [
                (q["symbol"], q["first"], q["last"], ", ".join(q["checks"]))
                for q in content["quarantined"]
            ],
            "No stretch of a symbol that stays.",
        ),
        *_table(("symbol dropped whole", "reason"), list(content["dropped"].items()), ""),
    ]
    return page("Validation of the bars", body)


def _overview(content: Mapping[str, Any]) -> str:
    missing = sum(gaps["missing"] for gaps in content["sessions"].values())
    return facts(
        [
            ("sound bars", f"{content['bars']:,}", f"of {content['listed']:,}"),
            ("symbols", f"{content['symbols']:,}", f"{len(content['dropped']):,} dropped whole"),
            ("periods taken out", f"{len(content['quarantined']):,}", ""),
            ("sessions missing", f"{missing:,}", "of those that calendars expect"),
            ("long gaps", f"{content['long_gaps']['count']:,}", "each cuts a history"),
        ]
    )


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Render the checks that found something as a table, the others folded."""
    columns = ("check", "level", "rule", "symbols", "times", "first example")
    found = [
        (c["check"], c["level"], c["rule"], c["symbols"], c["count"], c["first"])
        for c in checks
        if c["count"]
    ]
    silent = [(c["check"], c["level"], c["rule"]) for c in checks if not c["count"]]
    return [
        table(columns, found, WORDS) if found else paragraph("No check found anything."),
        *(
            [folded(f"{len(silent)} checks found nothing", [table(columns[:3], silent, WORDS)])]
            if silent
            else []
        ),
    ]


def _tradability(content: Mapping[str, Any]) -> list[str]:
    """Render the shares above a limit, by symbol and year, and what they mean."""
    limits, years = content["limits"], content["years"]
    largest = {name: max((year[name] for year in years), default=0.0) for name in limits}
    names = [sign.name for sign in SIGNS]
    return [
        paragraph(
            "Shares of the sessions of a symbol and year whose prices could hardly be traded at. "
            f"Where {100 * UNTRADABLE_ROWS:.0f} % of the rows that judge a model are of years "
            "above a limit, the gate promotes it only with require_tradable=off."
        ),
        table(
            ("sign", "condition", "limit", "largest share", "symbols and years above"),
            (
                (
                    sign.name,
                    sign.condition,
                    f"{100 * limits[sign.name]:.0f} %",
                    format_percent(largest[sign.name]),
                    sum(sign.name in year["above"] for year in years),
                )
                for sign in SIGNS
            ),
            ("condition",),
        ),
        *([bullets(sentences)] if (sentences := describe_untradable(years)) else []),
        *_table(
            ("symbol", "year", "sessions", *names),
            [
                (
                    y["symbol"],
                    str(y["year"]),
                    y["sessions"],
                    *(format_percent(y[name]) for name in names),
                )
                for y in years
                if y["above"]
            ],
            "",
        ),
    ]


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]], if_none: str) -> list[str]:
    if not rows:
        return [paragraph(if_none)] if if_none else []
    parts = [table(head, rows[:OPEN], WORDS)]
    if len(rows) > OPEN:
        more = rows[OPEN:SHOWN]
        parts.append(folded(f"{len(more)} more", [table(head, more, WORDS)]))
    if len(rows) > SHOWN:
        parts.append(paragraph(f"{len(rows) - SHOWN:,} more are in validation.json."))
    return parts
