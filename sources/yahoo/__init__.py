"""Yahoo: chart requests at one pace, merged with bars of earlier runs."""
