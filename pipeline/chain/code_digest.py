"""The code that a step runs, as a digest: the files that it reaches by imports, by what they say.

A file's digest holds its syntax and, in place of each module of the project that it imports, that
module's own digest. So neither the names of files nor the dotted names of modules count, but
what is imported from where does.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.chain.python_syntax import Import, Syntax, parse, read_memo, write_memo
from pipeline.file_hashes import digest, file_sha256

LOCK = "uv.lock"
INIT = "__init__.py"
# Memo of parsed files, kept like bytecode: parsing all of them costs 0.15 s of CPU a chain.
MEMO = "__pycache__/syntax.json"


class _Target(NamedTuple):
    """Where an import leads.

    Attributes
    ----------
    file : str
        The module's file; empty where it is none of the project.
    packages : sequence of str
        Files of the packages around it, which the import runs, too.
    says : str
        The import apart from where it leads.
    """

    file: str
    packages: tuple[str, ...]
    says: str


class Code:
    r"""The project's code as it is when the object is made; paths are relative to `root`.

    Parameters
    ----------
    root : Path
        The project's folder. Where it is does not count, nor when a file was touched.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "helper.py").write_text("def f():\n    return 1\n")
    >>> _ = (folder / "step.py").write_text("from helper import f\n")
    >>> Code(folder).reach("step")
    ['helper.py', 'step.py']
    >>> before = Code(folder).of_modules("step")
    >>> _ = (folder / "helper.py").write_text("def f():  # one\n    return 1\n")
    >>> Code(folder).of_modules("step") == before
    True
    >>> _ = (folder / "helper.py").write_text("def f():\n    return 2\n")
    >>> Code(folder).of_modules("step") == before
    False
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._hashes: dict[str, str] = {}
        self._files_of: dict[str, str] = {}
        self._syntaxes: dict[str, Syntax] = {}
        self._blocks: dict[str, list[list[_Target]]] = {}
        self._imports: dict[str, tuple[str, ...]] = {}
        self._digests: dict[str, str] = {}
        self._is_memo_new = False

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
    def _rooms(self) -> frozenset[str]:
        """Top-level names under which the project has modules."""
        paths = (PurePosixPath(name) for name in self.files if name.endswith(".py"))
        return frozenset(path.parts[0].removesuffix(".py") for path in paths)

    @cached_property
    def _data_files(self) -> dict[str, list[str]]:
        """Folder of modules -> other files in it, or below it where no module is."""
        with_code = {str(PurePosixPath(f).parent) for f in self.files if f.endswith(".py")} - {"."}
        found: dict[str, list[str]] = {}
        for name in self.files:
            if not name.endswith(".py"):
                above = map(str, PurePosixPath(name).parents)
                if folder := next((folder for folder in above if folder in with_code), None):
                    found.setdefault(folder, []).append(name)
        return found

    @cached_property
    def _in_packages(self) -> tuple[str, ...]:
        """Files that can be meant by a name put together at run time.

        A folder of scripts or tests, which has no `__init__.py`, is no package.
        """
        packages = {room for room in self._rooms if f"{room}/{INIT}" in self.files}
        return tuple(name for name in self.files if name.partition("/")[0] in packages)

    def of_step(self, module: str) -> str:
        """Digest of what a module reaches, of the lock, and of Python's minor version."""
        pairs = [("code", self.of_modules(module))]
        if (self.root / LOCK).is_file():
            pairs.append((LOCK, self._hash(LOCK)))
        pairs.append(("python", ".".join(map(str, sys.version_info[:2]))))
        if self._is_memo_new and not sys.dont_write_bytecode:
            write_memo(self.root / MEMO, self._memo)
            self._is_memo_new = False
        return digest(pairs)

    def of_modules(self, *modules: str) -> str:
        """Digest of what modules reach.

        Parameters
        ----------
        *modules : str
            Dotted names, such as ``steps.train``.

        Returns
        -------
        str
            Hex sha256. It stays where only comments, docstrings, layout, the order of adjacent
            imports, or names of files and modules change, and changes with anything else.
        """
        pairs = [(str(i), self._digest(file)) for i, file in enumerate(self._roots(modules))]
        reached = self.reach(*modules)
        if any(self._is_dynamic(name) for name in reached):
            # A dynamic import finds modules by name, so here names count.
            pairs += [(name, self._digest(name)) for name in self._in_packages]
        return digest(pairs)

    def reach(self, *modules: str) -> list[str]:
        """Files whose change may change what modules do, sorted.

        Their own files; what these import, at any depth of their code, and the `__init__.py` of
        each package around it, followed through; files beside them that are not Python. Where a
        file imports dynamically, every file of every package counts.
        """
        names = self._below(self._roots(modules))
        if any(map(self._is_dynamic, names)):
            names = self._below([*names, *self._in_packages])
        return sorted({file for name in names for file in (name, *self._beside(name))})

    def paths(self, *modules: str) -> dict[str, Path]:
        """Map what modules reach to where it is, such as to ship it along with a model."""
        return {name: self.root / name for name in self.reach(*modules)}

    def _roots(self, modules: Iterable[str]) -> list[str]:
        targets = [self._target(Import(module, "", ""), ()) for module in modules]
        return [file for target in targets for file in (target.file, *target.packages) if file]

    def _below(self, names: Iterable[str]) -> set[str]:
        """Files, and all that they import."""
        found, todo = set[str](), list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo.extend(self._imported(name))
        return found

    def _imported(self, name: str) -> tuple[str, ...]:
        """Files that a file imports by itself."""
        if name not in self._imports:
            targets = [target for block in self._targets(name) for target in block]
            files = {file for target in targets for file in (target.file, *target.packages)}
            self._imports[name] = tuple(sorted(files - {""}))
        return self._imports[name]

    def _beside(self, name: str) -> list[str]:
        if not name.endswith(".py"):
            return []
        return self._data_files.get(str(PurePosixPath(name).parent), [])

    def _digest(self, name: str) -> str:
        """Digest of a file and of all that it imports; empty for an empty module."""
        if not name.endswith(".py"):
            return self._hash(name)
        if name not in self._digests:
            below = self._below(self._imported(name))
            if name in below:  # a circle has no first file to begin with: here names count
                value = digest((file, self._combine(file, str)) for file in below)
            else:
                value = self._combine(name, self._digest)
            self._digests[name] = value
        return self._digests[name]

    def _combine(self, name: str, shown: Callable[[str], str]) -> str:
        """Digest of a file with each imported file as `shown` shows it."""
        syntax = self._syntax(name)
        folder = str(PurePosixPath(name).parent)
        beside = [f"{file.removeprefix(folder)} {self._hash(file)}" for file in self._beside(name)]
        if not (syntax.digest or beside):
            return ""
        lines = [syntax.digest, name if syntax.uses_path else "", *beside]
        for block in self._targets(name):
            lines.append("imports")
            lines += sorted({self._line(target, shown) for target in block})
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @staticmethod
    def _line(target: _Target, shown: Callable[[str], str]) -> str:
        file = f"of {shown(target.file)}" if target.file else ""
        # Packages with an empty `__init__.py` come and go with a move.
        packages = filter(None, map(shown, target.packages))
        return " ".join([target.says, file, *packages])

    def _is_dynamic(self, name: str) -> bool:
        return name.endswith(".py") and self._syntax(name).is_dynamic

    @cached_property
    def _memo(self) -> dict[str, tuple[str, Syntax]]:
        return read_memo(self.root / MEMO)

    def _syntax(self, name: str) -> Syntax:
        if name not in self._syntaxes:
            source = (self.root / name).read_bytes()
            sha256 = hashlib.sha256(source).hexdigest()
            kept = self._memo.get(name)
            if kept is None or kept[0] != sha256:
                kept = self._memo[name] = sha256, parse(source, name)
                self._is_memo_new = True
            self._syntaxes[name] = kept[1]
        return self._syntaxes[name]

    def _targets(self, name: str) -> list[list[_Target]]:
        """Where the imports of a file lead, block by block."""
        if not name.endswith(".py"):
            return []
        if name not in self._blocks:
            package = PurePosixPath(name).parts[:-1]
            blocks = self._syntax(name).blocks
            self._blocks[name] = [[self._target(one, package) for one in b] for b in blocks]
        return self._blocks[name]

    def _target(self, imported: Import, package: tuple[str, ...]) -> _Target:
        """Where an import leads that is written in a module of a package."""
        module, name, bound = imported
        if module.partition(".")[0] not in self._rooms:
            return _Target("", (), f"{module} {name} {bound}")
        # `from steps.cli import types` names a module, `from steps.cli.types import x` does not.
        if name and (file := self._file_of(f"{module}.{name}")):
            module, name = f"{module}.{name}", ""
        else:
            file = self._file_of(module)
        if not (file or bound):  # a string that names something else
            return _Target("", (), f"{module} {name} {bound}")
        parts = module.split(".")
        around = (tuple(parts[:depth]) for depth in range(1, len(parts)))
        # A module runs in its own packages, which were imported before it.
        inits = ("/".join([*p, INIT]) for p in around if p != package[: len(p)])
        packages = tuple(init for init in inits if (self.root / init).is_file())
        return _Target(file, packages, f"{name} {bound}" if file else f"{module} {name} {bound}")

    def _file_of(self, module: str) -> str:
        """Find the file of a dotted name; empty where the project has none."""
        if module not in self._files_of:
            path = module.replace(".", "/")
            is_ours = module.partition(".")[0] in self._rooms
            candidates = (f"{path}/{INIT}", f"{path}.py") if is_ours else ()
            found = (name for name in candidates if (self.root / name).is_file())
            self._files_of[module] = next(found, "")
        return self._files_of[module]

    def _hash(self, name: str) -> str:
        if name not in self._hashes:
            path = self.root / name
            self._hashes[name] = file_sha256(path) if path.is_file() else "absent"
        return self._hashes[name]


def _is_hidden(name: str) -> bool:
    """Whether no step can depend on a file; notebooks, which change when they are run, are such."""
    path = PurePosixPath(name)
    hidden = "__pycache__" in path.parts or any(part.startswith(".") for part in path.parts)
    return hidden or path.suffix == ".ipynb"
