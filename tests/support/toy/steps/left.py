from steps.shell import run

run("left", lambda step, options: step.input(options["text"]).read_text() + "<")
