"""How the cost of every step grows with symbols and sessions."""
