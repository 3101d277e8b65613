"""The command line: the table of parameters, their types, and the command of each step."""
