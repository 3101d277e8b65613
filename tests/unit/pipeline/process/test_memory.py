"""Memory that this process may still use."""

from pathlib import Path

import pytest

from pipeline.process.memory import available_memory

GIB = 2**30


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max", "memory.current": "5"}, 8 * GIB),
        ({"memory.max": f"{3 * GIB}", "memory.current": f"{GIB}"}, 2 * GIB),
        (
            {
                "memory/memory.limit_in_bytes": f"{GIB}",
                "memory/memory.usage_in_bytes": f"{2 * GIB}",
            },
            0,
        ),
    ],
)
def test_available_memory_is_the_least_of_machine_and_container(
    files: dict[str, str], left: int, tmp_path: Path
) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:   {8 * GIB // 1024} kB\n")
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == left


def test_available_memory_is_unknown_where_the_system_does_not_say(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "none", tmp_path) is None
