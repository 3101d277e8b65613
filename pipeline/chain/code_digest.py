"""The code that a step may run, as a digest: its file, the rooms it imports, the lock."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from pipeline.hashing import digest, file_sha256

LOCK = "uv.lock"
# Parts of importlib that look at what is installed, and run nothing of it.
LOOKS = ("importlib.metadata", "importlib.resources", "importlib.util.find_spec")
# At the end of a line that imports importlib: only for what a step imports by itself, too.
PRELOADS = b"# preloads"


class Code:
    """The project's code as it stands when the object is made; paths are relative to `root`.

    Only names and bytes count, so that a moved checkout or a touched file changes nothing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._hashes: dict[str, str] = {}
        self._sources: dict[str, bytes] = {}
        self._imports_of: dict[str, list[str]] = {}

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Files that git tracks or would track.

        A new helper that nobody has added yet is imported like any other, so it counts. Where
        the project is no checkout (an image, an archive), every file below it counts.
        """
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            done = subprocess.run(command, cwd=self.root, capture_output=True, check=True)
            listed = done.stdout.decode().split("\0")
        except (OSError, subprocess.CalledProcessError):
            listed = []
        # An ignored folder inside somebody else's checkout lists nothing: then walk it, too.
        if not any(listed):
            paths = (path for path in self.root.rglob("*") if path.is_file())
            listed = [path.relative_to(self.root).as_posix() for path in paths]
        return tuple(sorted(name for name in set(listed) if name and not _is_hidden(name)))

    @cached_property
    def rooms(self) -> frozenset[str]:
        """The top-level folders that hold code."""
        paths = (PurePosixPath(name) for name in self.files if name.endswith(".py"))
        return frozenset(path.parts[0] for path in paths if len(path.parts) > 1)

    @property
    def packages(self) -> Iterator[str]:
        """The rooms that can be meant by a name put together at run time.

        A folder of scripts or tests, which has no `__init__.py`, is none.
        """
        return (room for room in self.rooms if f"{room}/__init__.py" in self.files)

    def of_room(self, room: str) -> str:
        """Digest of every file of one room."""
        return digest((name, self._hash(name)) for name in self._room_files(room))

    def of_step(self, module: str) -> str:
        """Digest of all that `reach` names, of the lock, and of Python's minor version."""
        pairs = [(name, self._hash(name)) for name in self.reach(module)]
        if (self.root / LOCK).is_file():
            pairs.append((LOCK, self._hash(LOCK)))
        pairs.append(("python", ".".join(map(str, sys.version_info[:2]))))
        return digest(pairs)

    def reach(self, module: str) -> list[str]:
        """Files whose change may change what `module` (say ``steps.train``) does.

        Its own file; modules of its own room that it imports, by file; every file of each other
        room that any of these imports, by room, followed through. What cannot be followed (a
        dynamic import) counts as all `packages`.
        """
        own_room = module.split(".")[0]
        found: set[str] = set()
        missing = set(self.rooms)  # rooms of which not every file is found yet
        own, others = [self._file_of(module)], list[str]()
        while own or others:
            # The own room's few files first: they name most rooms, and what names no missing
            # room need not be parsed.
            name = own.pop() if own else others.pop()
            if name is None or name in found:
                continue
            found.add(name)
            for imported in self._imported(name) if self._may_import(name, missing) else ():
                room = imported.split(".")[0]
                if room == own_room and imported != room:
                    own.append(self._file_of(imported))
                elif room != own_room and room in missing:
                    missing.remove(room)
                    others.extend(self._room_files(room))
        return sorted(found)

    def _may_import(self, name: str, rooms: set[str]) -> bool:
        """Whether a file's text names any of the rooms, or the way to import what has no name."""
        if not name.endswith(".py"):
            return False
        if name not in self._sources:
            self._sources[name] = (self.root / name).read_bytes()
        source = self._sources[name]
        return any(word.encode() in source for word in (*rooms, "importlib"))

    def _imported(self, name: str) -> list[str]:
        """What a file imports, parsed once: steps share most files."""
        if name not in self._imports_of:
            self._imports_of[name] = sorted(set(self._imports(name)))
        return self._imports_of[name]

    def _hash(self, name: str) -> str:
        if name not in self._hashes:
            path = self.root / name
            self._hashes[name] = file_sha256(path) if path.is_file() else "absent"
        return self._hashes[name]

    def _room_files(self, room: str) -> list[str]:
        return [name for name in self.files if name.startswith(f"{room}/")]

    def _file_of(self, module: str) -> str | None:
        path = PurePosixPath(*module.split("."))
        candidates = (path.with_suffix(".py"), path / "__init__.py")
        return next((str(c) for c in candidates if (self.root / c).is_file()), None)

    def _imports(self, name: str) -> Iterator[str]:
        """Dotted names of project modules that a file imports, at any depth of its code."""
        source = self._sources[name]
        lines = source.splitlines()
        for node in _statements(ast.parse(source, filename=name)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = PurePosixPath(name).parts[: -node.level]
                    base = ".".join([*package, base]).rstrip(".")
                # `from steps.cli import types` names a module, `from steps.cli.types import x` does
                # not: what is no file is passed over where the name is looked up.
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            else:
                continue
            if _is_dynamic(node) and PRELOADS not in lines[node.lineno - 1]:
                yield from self.packages
            yield from (imported for imported in names if imported.split(".")[0] in self.rooms)


def _is_dynamic(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether it brings what imports by a name that is put together at run time."""
    base = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    names = [f"{base}{alias.name}" for alias in node.names]
    return any(n.split(".")[0] == "importlib" and not n.startswith(LOOKS) for n in names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement, at any depth; expressions, of which there are many more, are left out."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo.extend(getattr(node, block, ()))


def _is_hidden(name: str) -> bool:
    """Whether no step can depend on a file; notebooks, which change when they are run, are such."""
    path = PurePosixPath(name)
    hidden = "__pycache__" in path.parts or any(part.startswith(".") for part in path.parts)
    return hidden or path.suffix == ".ipynb"
