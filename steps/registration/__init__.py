"""Registration: decisions of the gate, changes by hand, and their record."""
