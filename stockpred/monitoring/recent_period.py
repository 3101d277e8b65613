"""Length of the recent period that monitoring looks at."""

RECENT = 63  # dates
