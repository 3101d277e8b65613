"""What `main` says on the terminal at its end, read back."""

import re

STEPS = ["acquire", "validate", "features", "train", "evaluate", "register"]


def table(said: str) -> dict[str, tuple[str, str]]:
    """Step -> (status, run id), of what was said among other things."""
    rows = re.findall(r"^(\w+) +(executed|cached) .* ([0-9a-f]{32})$", said, re.MULTILINE)
    return {step: (status, run_id) for step, status, run_id in rows}
