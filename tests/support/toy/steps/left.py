from steps.shell import run

run("left", lambda step, options: step.fetch_input(options["text"]).read_text() + "<")
