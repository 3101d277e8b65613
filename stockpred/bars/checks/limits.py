"""Limits of the checks, each with its reason."""

MINIMUM_BARS = 100  # with fewer sound ones a symbol is dropped whole: too few to learn from
SPARE_BARS = 30  # beyond the look-back, else few rows of features are left
FLOAT_NOISE = 1e-6  # relative; downloads of one bar differ by some 1e-7
HALF_CENT = 0.005  # adj_close is often rounded to cents, which moves adj_close / close
STALE_SESSIONS = 5  # a close unchanged for longer is more often a dead feed than a market
JUMP = 2.0  # a close that doubles or halves within a session is worth a look
# Days from one bar to the next; a longer gap cuts the history. In all calendars since 1990 the
# longest closures are 13 days (Buenos Aires, January 2002) and 12 (Lunar New Year, Eid, Russia).
GAP_DAYS = 14
SPACED_SHARE = 0.9  # of the gaps; a symbol that trades on few days has one seventh of one length
SPACED_GAPS = 10  # with fewer gaps chance alone could give them one length
MISFIT = 0.1  # share of sessions; a similar calendar's holidays stay below, another week does not

# Shares of a symbol's sessions of a year above which its prices are not shown to be tradable. In
# the embedded bars no year has more than 0.11 stale opens, 0.05 unchanged closes, or any of the
# others. On noise with a bid-ask spread of 1 %, 0.2 stale opens fool the gate in 0 of 20 markets,
# 0.5 in 9, and 0.97 in 20 (`python -m studies.honesty stale_opens`).
STALE_OPENS = 0.25
UNCHANGED = 0.25  # a price that often stays moves late, which reads as a forecast
NO_VOLUME = 0.25  # trades on three days in four are the least that fills on any day need
FLAT = 0.25  # a quote, a fund's price or a dead feed: a traded stock nearly always has a range
YEAR_SESSIONS = 20  # with fewer sessions chance alone could exceed a limit
# Share of the rows that judge a model, above which the gate does not promote on untradable years.
UNTRADABLE_ROWS = 0.05

# Splits by what one old share became. 5:4 and less are left out: news moves prices that far.
SPLIT_RATIOS = (4 / 3, 3 / 2, 2, 5 / 2, *range(3, 9), 10, 12, 15, 20, 25, 30, 40, 50, 100)
UNIT_RATIOS = (100.0,)  # pence for pounds: prices jump and volume does not
# Of the real bars, 99 % open within 5 % of the last close, close within 10 % of it, and have a
# volume within 3 times the median of the sessions before; after a crash it is 5 to 20 times.
SPLIT_OPEN = 0.05  # log; how near the open comes to the last close over the ratio
SPLIT_CLOSE = 0.10  # log; the same of the close
SPLIT_VOLUME = 3.0  # factor; how near the volume comes to its usual times the ratio
SPLIT_ADJUSTED = 0.03  # log; how near the step of adj_close / close comes to the ratio
USUAL_SESSIONS = 20  # the sessions before, whose median is the usual
USUAL_AT_LEAST = 5  # with fewer before it there is no usual
UNUSUAL_GAP = 8.0  # times the usual overnight gap: a stock priced at a few ticks jumps every day
# A jump by any ratio. News moves a price by less than 2 on at most 3 times its usual volume, and
# then the price goes on moving through the day.
ANY_RATIO = 2.0
LONE_JUMP = 2.0  # times the largest other move of the USUAL_SESSIONS before
RETURN_SESSIONS = 60  # after a found jump, within which its reverse is the end of a bad stretch
SHORT_RETURN = 5  # the same after a jump that no other rule finds
# A column of one bar in another unit: no session's range and no dividend comes near.
UNIT_ERROR = 50.0
