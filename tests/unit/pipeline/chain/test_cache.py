"""What a step's key is made of, and which tables of steps are refused."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.chain.cache import digest, key_parts
from pipeline.chain.code_digest import Code
from pipeline.step import Output, Step, check_steps

STEP = Step("validate", ("max_missing",), {"bars": Output("acquire", "bars.parquet")})


@pytest.fixture
def code(tmp_path: Path) -> Code:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "validate.py").write_text("x = 1\n")
    return Code(tmp_path)


def make_parts(code: Code, value: object, sha256: str = "a") -> dict[str, Any]:
    params = {"max_missing": value, "folds": 5}
    return key_parts(STEP, params, {"bars": sha256}, code, "steps")


def test_key_names_its_parts(code: Code) -> None:
    parts = make_parts(code, 0.05)
    assert parts == {
        "entry_point": "validate",
        "params": {"max_missing": 0.05},
        "inputs": {"bars": "a"},
        "code": code.of_step("steps.validate"),
    }


def test_key_with_equal_parts_has_the_same_digest(code: Code) -> None:
    assert digest(make_parts(code, 0.05)) == digest(make_parts(code, 0.05))


def test_key_with_another_value_type_input_or_code_has_another_digest(code: Code) -> None:
    digests = {digest(make_parts(code, value)) for value in (0.05, 0.06, "0.05", None)}
    digests.add(digest(make_parts(code, 0.05, "b")))
    (code.root / "steps" / "validate.py").write_text("x = 2\n")
    digests.add(digest(make_parts(Code(code.root), 0.05)))
    assert len(digests) == 6


def test_table_of_steps_with_a_loose_end_is_refused() -> None:
    loose = Step("b", (), {"x": Output("a", "x.txt")})
    with pytest.raises(ValueError, match="step b: 'a' is in no row above"):
        check_steps([loose])
    with pytest.raises(ValueError, match="step a: two rows"):
        check_steps([Step("a", ()), Step("a", ())])
