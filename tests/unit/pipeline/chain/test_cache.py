"""What a step's key is made of, and which tables of steps are refused."""

from pathlib import Path

import pytest

from pipeline.chain.cache import Key, step_key
from pipeline.chain.code_digest import Code
from pipeline.step import Output, Step, check_steps

STEP = Step("validate", ("max_missing",), {"bars": Output("acquire", "bars.parquet")})


@pytest.fixture
def code(tmp_path: Path) -> Code:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "validate.py").write_text("x = 1\n")
    return Code(tmp_path)


def make_key(code: Code, value: object, sha256: str = "a") -> Key:
    params = {"max_missing": value, "folds": 5}
    return step_key(STEP, params, {"bars": sha256}, code, "steps")


def test_key_names_its_parts(code: Code) -> None:
    parts = make_key(code, 0.05).parts
    assert parts == {
        "entry_point": "validate",
        "params": {"max_missing": 0.05},
        "inputs": {"bars": "a"},
        "code": code.of_step("steps.validate"),
    }


def test_key_with_equal_parts_has_the_same_digest(code: Code) -> None:
    assert make_key(code, 0.05).digest == make_key(code, 0.05).digest


def test_key_with_another_value_type_input_or_code_has_another_digest(code: Code) -> None:
    digests = {make_key(code, value).digest for value in (0.05, 0.06, "0.05", None)}
    digests.add(make_key(code, 0.05, "b").digest)
    (code.root / "steps" / "validate.py").write_text("x = 2\n")
    digests.add(make_key(Code(code.root), 0.05).digest)
    assert len(digests) == 6


def test_table_of_steps_with_a_loose_end_is_refused() -> None:
    loose = Step("b", (), {"x": Output("a", "x.txt")})
    with pytest.raises(ValueError, match="step b: 'a' is in no row above"):
        check_steps([loose])
    with pytest.raises(ValueError, match="step a: two rows"):
        check_steps([Step("a", ()), Step("a", ())])
