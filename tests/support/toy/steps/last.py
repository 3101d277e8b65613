from steps.shell import run


def join(step, options):
    return "".join(step.fetch_input(options[name]).read_text() for name in ("one", "two"))


run("last", join)
