from helper import MARK
from steps.shell import run

run("first", lambda step, options: options["word"] + MARK)
