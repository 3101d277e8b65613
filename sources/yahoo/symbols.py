"""Yahoo's symbols: their spelling, and the exchange calendar of each."""

import re
from collections.abc import Sequence

from sources.calendars import EVERY_DAY, UNION
from stockpred.errors import ParameterError

# By Yahoo's suffix; calendars are named as in exchange_calendars.
_BY_SUFFIX = {
    "AS": "XAMS",
    "AT": "ASEX",
    "AX": "XASX",
    "BA": "XBUE",
    "BK": "XBKK",
    "BO": "XBOM",
    "BR": "XBRU",
    "CO": "XCSE",
    "DE": "XETR",
    "F": "XFRA",
    "HE": "XHEL",
    "HK": "XHKG",
    "IC": "XICE",
    "IR": "XDUB",
    "IS": "XIST",
    "JK": "XIDX",
    "JO": "XJSE",
    "KL": "XKLS",
    "KQ": "XKRX",
    "KS": "XKRX",
    "L": "XLON",
    "LS": "XLIS",
    "MC": "XMAD",
    "MI": "XMIL",
    "MX": "XMEX",
    "NS": "XBOM",
    "NZ": "XNZE",
    "OL": "XOSL",
    "PA": "XPAR",
    "PR": "XPRA",
    "SA": "BVMF",
    "SI": "XSES",
    "SN": "XSGO",
    "SS": "XSHG",
    "ST": "XSTO",
    "SW": "XSWX",
    "SZ": "XSHG",
    "T": "XTKS",
    "TA": "XTAE",
    "TO": "XTSE",
    "TW": "XTAI",
    "TWO": "XTAI",
    "V": "XTSE",
    "VI": "XWBO",
    "WA": "XWAR",
}
# By the exchange name in Yahoo's chart, which is more reliable than the suffix.
_BY_EXCHANGE = {
    **dict.fromkeys(("NMS", "NGM", "NCM", "NYQ", "ASE", "PCX", "BTS", "NIM", "SNP", "DJI"), "XNYS"),
    "CCC": EVERY_DAY,
    "AMS": "XAMS",
    "ASX": "XASX",
    "BSE": "XBOM",
    "BRU": "XBRU",
    "CPH": "XCSE",
    "EBS": "XSWX",
    "FGI": "XLON",
    "FRA": "XFRA",
    "GER": "XETR",
    "HEL": "XHEL",
    "HKG": "XHKG",
    "HKSE": "XHKG",
    "ISE": "XDUB",
    "JNB": "XJSE",
    "JPX": "XTKS",
    "KOE": "XKRX",
    "KSC": "XKRX",
    "LIS": "XLIS",
    "LSE": "XLON",
    "MCE": "XMAD",
    "MEX": "XMEX",
    "MIL": "XMIL",
    "NSI": "XBOM",
    "NZE": "XNZE",
    "OSL": "XOSL",
    "PAR": "XPAR",
    "SAO": "BVMF",
    "SES": "XSES",
    "SHH": "XSHG",
    "SHZ": "XSHG",
    "STO": "XSTO",
    "TAI": "XTAI",
    "TLV": "XTAE",
    "TOR": "XTSE",
    "VIE": "XWBO",
    "WSE": "XWAR",
}
_INDICES = {
    **dict.fromkeys(("^GSPC", "^DJI", "^IXIC", "^NDX", "^RUT", "^VIX", "^NYA"), "XNYS"),
    "^FTSE": "XLON",
    "^GDAXI": "XETR",
    "^FCHI": "XPAR",
    "^N225": "XTKS",
    "^HSI": "XHKG",
    "^STI": "XSES",
    "^AXJO": "XASX",
    "^KS11": "XKRX",
    "^TWII": "XTAI",
    "^SSMI": "XSWX",
    "^GSPTSE": "XTSE",
    "^BVSP": "BVMF",
    "^MXX": "XMEX",
    "^BSESN": "XBOM",
    "^NSEI": "XBOM",
}
_CRYPTO = re.compile(r"[A-Z0-9]+-(USD|EUR|GBP|JPY|CAD|AUD|KRW|INR|BTC|ETH|USDT|USDC)")
_SPELLING = re.compile(r"[A-Z0-9^][A-Z0-9.&^=_-]{0,30}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")


def calendar_of(symbol: str, exchange: str | None = None) -> str:
    """Look up the calendar that a symbol's sessions follow.

    Parameters
    ----------
    symbol : str
        In Yahoo's spelling.
    exchange : str, optional
        ``exchangeName`` of Yahoo's chart; without it the symbol's suffix decides.

    Returns
    -------
    str
        Name in exchange_calendars, ``24/7``, or ``union`` where none is known.

    Examples
    --------
    >>> calendar_of("VOD.L"), calendar_of("BTC-USD"), calendar_of("EURUSD=X")
    ('XLON', '24/7', 'union')
    """
    if exchange in _BY_EXCHANGE:
        return _BY_EXCHANGE[exchange]
    if symbol in _INDICES:
        return _INDICES[symbol]
    if _CRYPTO.fullmatch(symbol):
        return EVERY_DAY
    if symbol.startswith("^") or "=" in symbol:  # another index, a currency pair, a future
        return UNION
    suffix = symbol.rpartition(".")[2] if "." in symbol else ""
    return _BY_SUFFIX.get(suffix, UNION) if suffix else "XNYS"


def check_spelling(symbols: Sequence[str] | None) -> None:
    """Refuse symbols that Yahoo cannot know, before any request.

    Parameters
    ----------
    symbols : sequence of str, optional
        None: all, which Yahoo does not list.

    Raises
    ------
    ParameterError
        No symbols; a character that none of Yahoo's symbols has; a share class after a dot (Yahoo
        writes BRK-B); an ISIN.
    """
    if symbols is None:
        raise ParameterError(
            "symbols",
            "all",
            expected="Yahoo's symbols",
            got="all, of which Yahoo has no list",
            fix="name symbols, such as AAPL,MSFT, or @file",
        )
    for symbol in symbols:
        if not _SPELLING.fullmatch(symbol):
            dashed = symbol.replace("/", "-")  # BTC/USD
            is_pair = _SPELLING.fullmatch(dashed)
            raise ParameterError(
                "symbols",
                symbol,
                expected="Yahoo's symbols (letters, digits and . - ^ = & _, at most 31 characters)",
                got=repr(symbol),
                fix=f"use {dashed}" if is_pair else "look up its symbol at Yahoo",
            )
        stem, dot, suffix = symbol.rpartition(".")
        is_class = len(suffix) == 1 and stem.isalpha() and suffix.isalpha()
        if dot and is_class and suffix not in _BY_SUFFIX:
            raise ParameterError(
                "symbols",
                symbol,
                expected="Yahoo's spelling",
                got="a share class after a dot",
                fix=f"use {stem}-{suffix}",
            )
        if _ISIN.fullmatch(symbol):
            raise ParameterError(
                "symbols",
                symbol,
                expected="Yahoo's symbol",
                got="an ISIN",
                fix="look up its symbol at Yahoo",
            )
