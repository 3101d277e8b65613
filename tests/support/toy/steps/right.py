from steps.shell import run

run("right", lambda step, options: step.fetch_input(options["text"]).read_text() + ">")
