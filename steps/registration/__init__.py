"""Registration: the gate's decision, moves by hand, and their record."""
