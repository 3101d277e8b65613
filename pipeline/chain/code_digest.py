"""The code that a step runs, as a digest: the files that it reaches by imports, by what they say.

A file's digest holds its syntax and, in place of each module of the project that it imports, that
module's own digest. So neither the names of files nor the dotted names of modules count, but
what is imported from where does.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
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
    left_out : sequence of str
        Files that do not count, nor what only they import.

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

    def __init__(self, root: Path, left_out: Sequence[str] = ()) -> None:
        self.root = root.resolve()
        self.left_out = frozenset(left_out)
        self._modules: dict[str, _Module] = {}
        self._files_of: dict[str, str] = {}
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
            listed = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*")]
        # Of what git lists, a file may be deleted.
        visible = (name for name in set(listed) if not _is_hidden(name))
        return tuple(sorted(name for name in visible if (self.root / name).is_file()))

    @cached_property
    def _rooms(self) -> frozenset[str]:
        """Top-level names under which the project has modules."""
        paths = (PurePosixPath(name) for name in self.files if name.endswith(".py"))
        return frozenset(path.parts[0].removesuffix(".py") for path in paths)

    @cached_property
    def _data_files(self) -> dict[str, list[str]]:
        """Folder of modules -> other files in it, or below it where no module is."""
        with_code = {str(PurePosixPath(f).parent) for f in self.files if f.endswith(".py")} - {"."}
        data_files: dict[str, list[str]] = {folder: [] for folder in with_code}
        for name in self.files:
            if not name.endswith(".py"):
                above = map(str, PurePosixPath(name).parents)
                if folder := next((folder for folder in above if folder in with_code), None):
                    data_files[folder].append(name)
        return data_files

    @cached_property
    def _in_packages(self) -> list[str]:
        """Modules that can be meant by a name put together at run time.

        A folder of scripts or tests, which has no `__init__.py`, is no package.
        """
        packages = {room for room in self._rooms if f"{room}/{INIT}" in self.files}
        names = (name for name in self.files if name.endswith(".py"))
        return [n for n in names if n.partition("/")[0] in packages and n not in self.left_out]

    @cached_property
    def _environment(self) -> list[tuple[str, str]]:
        """Python's minor version, and the lock of the packages where there is one."""
        version = ("python", ".".join(map(str, sys.version_info[:2])))
        lock = self.root / LOCK
        return [version, (LOCK, file_sha256(lock))] if lock.is_file() else [version]

    def of_step(self, module: str) -> str:
        """Digest of what a module reaches, of the lock, and of Python's minor version."""
        code = self.of_modules(module)
        if self._is_memo_new and not sys.dont_write_bytecode:
            write_memo(self.root / MEMO, self._memo)
            self._is_memo_new = False
        return digest([("code", code), *self._environment])

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
        roots = self._roots(modules)
        pairs = [(str(i), self.module(file).digest) for i, file in enumerate(roots)]
        if self._is_dynamic(self.below(roots)):
            # A dynamic import finds modules by name, so here names count.
            pairs += [(name, self.module(name).digest) for name in self._in_packages]
        return digest(pairs)

    def reach(self, *modules: str) -> list[str]:
        """Files whose change may change what modules do, sorted.

        Their own files; what these import, at any depth of their code, and the `__init__.py` of
        each package around it, followed through; files beside them that are not Python. Where a
        file imports dynamically, every file of every package counts.
        """
        names = self.below(self._roots(modules))
        if self._is_dynamic(names):
            names = self.below([*names, *self._in_packages])
        return sorted({file for name in names for file in (name, *self.beside(name))})

    def paths(self, *modules: str) -> dict[str, Path]:
        """Map what modules reach to where it is, such as to ship it along with a model."""
        return {name: self.root / name for name in self.reach(*modules)}

    def module(self, name: str) -> "_Module":
        """Return a Python file of the project."""
        if name not in self._modules:
            self._modules[name] = _Module(self, name)
        return self._modules[name]

    def below(self, names: Iterable[str]) -> set[str]:
        """Python files, and all that they import."""
        reached, todo = set[str](), list(names)
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo.extend(self.module(name).imported)
        return reached

    def beside(self, name: str) -> list[str]:
        """Other files in the folder of a Python file, and below it where no module is."""
        return self._data_files.get(str(PurePosixPath(name).parent), [])

    def syntax(self, name: str) -> Syntax:
        """Parse a Python file, unless the memo has its syntax."""
        source = (self.root / name).read_bytes()
        sha256 = hashlib.sha256(source).hexdigest()
        kept = self._memo.get(name)
        if kept is None or kept[0] != sha256:
            kept = self._memo[name] = sha256, parse(source, name)
            self._is_memo_new = True
        return kept[1]

    def target(self, imported: Import, package: tuple[str, ...]) -> _Target:
        """Where an import leads that is written in a module of a package."""
        module, name, bound = imported
        elsewhere = _Target("", (), f"{module} {name} {bound}")
        if module.partition(".")[0] not in self._rooms:
            return elsewhere
        # `from steps.cli import types` names a module, `from steps.cli.types import x` does not.
        if name and (file := self._file_of(f"{module}.{name}")):
            module, name = f"{module}.{name}", ""
        else:
            file = self._file_of(module)
        if file in self.left_out or not (file or bound):  # a string that names something else
            return elsewhere
        parts = module.split(".")
        around = (tuple(parts[:depth]) for depth in range(1, len(parts)))
        # A module runs in its own packages, which were imported before it.
        inits = ("/".join([*p, INIT]) for p in around if p != package[: len(p)])
        packages = tuple(init for init in inits if (self.root / init).is_file())
        return _Target(file, packages, f"{name} {bound}" if file else elsewhere.says)

    def _roots(self, modules: Iterable[str]) -> list[str]:
        targets = [self.target(Import(module, "", ""), ()) for module in modules]
        return [file for target in targets for file in (target.file, *target.packages) if file]

    def _is_dynamic(self, names: Iterable[str]) -> bool:
        return any(self.module(name).syntax.is_dynamic for name in names)

    @cached_property
    def _memo(self) -> dict[str, tuple[str, Syntax]]:
        return read_memo(self.root / MEMO)

    def _file_of(self, module: str) -> str:
        """Find the file of a dotted name; empty where the project has none."""
        if module not in self._files_of:
            path = module.replace(".", "/")
            names = (f"{path}/{INIT}", f"{path}.py")
            self._files_of[module] = next((n for n in names if (self.root / n).is_file()), "")
        return self._files_of[module]


class _Module:
    """A Python file of the project, with what follows from its content once it is needed."""

    def __init__(self, code: Code, name: str) -> None:
        self.code, self.name = code, name

    @cached_property
    def syntax(self) -> Syntax:
        return self.code.syntax(self.name)

    @cached_property
    def targets(self) -> Sequence[Sequence[_Target]]:
        """Where its imports lead, block by block."""
        package = PurePosixPath(self.name).parts[:-1]
        return [[self.code.target(one, package) for one in block] for block in self.syntax.blocks]

    @cached_property
    def imported(self) -> set[str]:
        """Files that the module imports directly, without those that they import in turn."""
        targets = [target for block in self.targets for target in block]
        return {file for target in targets for file in (target.file, *target.packages)} - {""}

    @cached_property
    def digest(self) -> str:
        """Digest of the file and of all that it imports; empty for an empty module."""
        below = self.code.below(self.imported)
        if self.name in below:  # a circle has no first file to begin with: here names count
            return digest((name, self.code.module(name).combine(str)) for name in below)
        return self.combine(lambda name: self.code.module(name).digest)

    def combine(self, shown: Callable[[str], str]) -> str:
        """Digest of the file with each imported one as `shown` shows it."""
        folder, data = str(PurePosixPath(self.name).parent), self.code.beside(self.name)
        beside = [f"{n.removeprefix(folder)} {file_sha256(self.code.root / n)}" for n in data]
        if not (self.syntax.digest or beside):
            return ""
        lines = [self.syntax.digest, self.name if self.syntax.uses_path else "", *beside]
        for block in self.targets:
            lines += ["imports", *sorted({_line(target, shown) for target in block})]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _line(target: _Target, shown: Callable[[str], str]) -> str:
    file = f"of {shown(target.file)}" if target.file else ""
    # Packages with an empty `__init__.py` come and go with a move.
    packages = filter(None, map(shown, target.packages))
    return " ".join([target.says, file, *packages])


def _is_hidden(name: str) -> bool:
    """Whether no step can depend on a file; notebooks, which change when they are run, are such."""
    path = PurePosixPath(name)
    hidden = "__pycache__" in path.parts or any(part.startswith(".") for part in path.parts)
    return hidden or path.suffix == ".ipynb"
