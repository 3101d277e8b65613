"""Names of sources of bars that are no path or URI."""

SNAPSHOT, YAHOO = "snapshot", "yahoo"
UNKNOWN = "unknown"  # of an earlier feature table, whose metadata lacks it
