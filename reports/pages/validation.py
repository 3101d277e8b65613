"""The validation's page: what may reach a model, and what was found in the rest."""

from collections.abc import Mapping
from typing import Any

from reports.pages.html import heading, page, paragraph, pictures, table

SHOWN = 50  # rows of a table; validation.json has them all
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
    """One plain sentence on how much may reach a model, and one on the rest."""
    kept, listed, symbols = content["bars"], content["listed"], content["symbols"]
    dropped, stretches = len(content["dropped"]), len(content["quarantined"])
    first = f"{kept:,} of {listed:,} bars of {symbols:,} symbols may reach a model"
    taken = f"{_count(stretches, 'stretch', 'es')} and {_count(dropped, 'whole symbol', 's')} were"
    warned = [c["check"] for c in content["checks"] if c["level"] == "warn" and c["count"]]
    found = f"Look at the warnings of {', '.join(warned)}" if warned else "There is no warning"
    return f"{first}; {taken} taken out. {found}."


def _count(number: int, one: str, plural: str) -> str:
    return f"{number or 'no'} {one}{'' if number == 1 else plural}"


def render_validation_page(content: Mapping[str, Any], picture: bytes | None) -> str:
    """A self-contained page on validation.json.

    Parameters
    ----------
    content : mapping
        As `stockpred.bars.checks.summarise` makes it.
    picture : bytes, optional
        The missing sessions, as PNG.
    """
    calendars = content["sessions"]
    unchecked = sorted({each["calendar"] for each in calendars.values() if not each["expected"]})
    gaps = sorted(
        ((symbol, each) for symbol, each in calendars.items() if each["missing"] or each["extra"]),
        key=lambda item: -item[1]["missing"] - item[1]["extra"],
    )
    body = [
        paragraph(validation_summary(content), lead=True),
        heading("Checks"),
        paragraph(
            "What fails is quarantined, from date to date: no look-back and no label bridges it. "
            "What warns is kept."
        ),
        table(
            ("check", "level", "rule", "symbols", "times", "first example"),
            (
                (c["check"], c["level"], c["rule"], c["symbols"], c["count"], c["first"])
                for c in content["checks"]
            ),
            WORDS,
        ),
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
                for symbol, g in gaps
            ],
            "Every session of the known calendars has its bar, and there is no other."
            if any(each["expected"] for each in calendars.values())
            else "No symbol has a calendar to compare with.",
        ),
        *([paragraph(f"Not checked, since unknown: {', '.join(unchecked)}.")] if unchecked else []),
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


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]], if_none: str) -> list[str]:
    if not rows:
        return [paragraph(if_none)] if if_none else []
    parts = [table(head, rows[:SHOWN], WORDS)]
    if len(rows) > SHOWN:
        parts.append(paragraph(f"{len(rows) - SHOWN:,} more stand in validation.json."))
    return parts
