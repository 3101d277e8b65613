"""A room that the toy's first step imports."""

MARK = "!"
