from steps.shell import run

run("right", lambda step, options: step.input(options["text"]).read_text() + ">")
