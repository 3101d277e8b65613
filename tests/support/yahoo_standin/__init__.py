"""A stand-in for Yahoo, queried by the real yfinance over HTTPS, with faults to switch on.

Errors of `Ticker.history` of yfinance 1.7 (hide_exceptions off) for each fault of the wire, where
it strikes the request for the timezone (a symbol's first) and where it strikes the one for bars;
x2: the request came twice within the one call. tests/unit/sources/yahoo/test_standin_faults.py reads this table.

| fault | on the timezone | on bars |
| --- | --- | --- |
| 401 | KeyError: 'chart' x2 | YFPricesMissingError: $AAA: possibly delisted; no price data found x2 |
| 403 | JSONDecodeError: Expecting value: line 1 x2 | JSONDecodeError: Expecting value: line 1 x2 |
| 429 | YFRateLimitError: Too Many Requests. x2 | YFRateLimitError: Too Many Requests. x2 |
| 500 | JSONDecodeError: Expecting value: line 1 x2 | JSONDecodeError: Expecting value: line 1 x2 |
| 503 | JSONDecodeError: Expecting value: line 1 x2 | JSONDecodeError: Expecting value: line 1 x2 |
| timeout | Timeout: Failed to perform, curl: (28) x1 | Timeout: Failed to perform, curl: (28) x1 |
| reset | ConnectionError: Failed to perform, curl: (56) x1 | ConnectionError: Failed to perform, curl: (56) x2 |
| cut | ConnectionError: Failed to perform, curl: (56) x1 | ConnectionError: Failed to perform, curl: (56) x1 |
| truncated | JSONDecodeError: Unterminated string x1 | JSONDecodeError: Expecting ',' delimiter x1 |
| html | JSONDecodeError: Expecting value: line 1 x1 | YFDataException: *** YAHOO! FINANCE IS CURRENTLY DOWN! x1 |
| null | TypeError: 'NoneType' object is not subscriptable x1 | YFPricesMissingError: $AAA: possibly delisted; no price data found x1 |
| unknown | HTTPError: HTTP Error 404 x2 | YFPricesMissingError: $AAA: No data found, symbol may be delisted x2 |
| no_timezone | KeyError: 'exchangeTimezoneName' x1 | KeyError: 'exchangeTimezoneName' x1 |

- Any status of 400 and more is retried at once with another crumb: a fault to be seen
  strikes two times. libcurl retries after a reset of a connection that was kept open.
- The timezone's request waits 10 s whatever `timeout` says; it needs no crumb and no cookie: faults
  on these two are only warned of.
- The third unknown symbol of a process, and every later one, is YFTzMissingError: "possibly
  delisted; no timezone found"; the first two cost two requests for `Ticker.info` and are HTTPError.
- A refusing proxy ("refused"), a dead one: ConnectionError, curl: (7). No name server: DNSError.
- A range without a session is YFPricesMissingError "possibly delisted; no price data found"; one
  before the first bar, or a start after the end, is YFPricesMissingError with Yahoo's own words
  ("Data doesn't exist for startDate", "Invalid input - start date cannot be after end date").

The rest come as frames without an error: nan_rows are left out; nan_cell, zero_volume,
high_below_low, dropped_days, stale and short come as they are; of duplicate_last the later row
stays; partial comes as a usual row at midnight. `empty` is YFPricesMissingError.
"""  # noqa: E501

from .answers import Request
from .bars import standin_bars
from .market import Market
from .server import Standin

__all__ = ["Market", "Request", "Standin", "standin_bars"]
