"""The syntax of one Python file: a digest of its statements, and the names that it imports.

Comments, docstrings, layout and blocks under ``if TYPE_CHECKING`` run nothing and are left out.
Imports are not in the digest: `code_digest` replaces them by the content of the files that they
name.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeGuard

from pipeline.file_hashes import file_sha256

# Modules that can import a name made at run time.
DYNAMIC_MODULES = ("importlib", "pkgutil", "runpy")
# Parts of importlib that only inspect what is installed, and run none of it.
PASSIVE_MODULES = ("importlib.metadata", "importlib.resources", "importlib.util.find_spec")
# Comment on a line that imports a dynamic module only to preload what steps import themselves.
PRELOADS = b"# preloads"
DYNAMIC_NAMES = frozenset({"__import__", "eval", "exec"})
PATH_NAMES = frozenset({"__file__", "__path__"})

_GAP = "<import>"
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


class Import(NamedTuple):
    """One imported name.

    Attributes
    ----------
    module : str
        Absolute dotted name.
    name : str
        Name imported from the module, perhaps a module itself; empty for ``import module``.
    bound : str
        Name by which the file uses it; empty for a string that may name a module.
    """

    module: str
    name: str
    bound: str


@dataclass(frozen=True)
class Syntax:
    """Content of a Python file, independent of its path and of the paths of modules it imports.

    Attributes
    ----------
    digest : str
        Hex sha256 of the syntax tree, with a gap for each block of imports; empty where the
        file has no statement.
    blocks : sequence of sequence of Import
        Imports of each gap, in order. Within a block of adjacent imports the order does not
        count: tools sort imports by module names, which change when a module moves.
    is_dynamic : bool
        Whether it can import modules whose names are not in it.
    uses_path : bool
        Whether it can read its own path.
    """

    digest: str
    blocks: Sequence[Sequence[Import]]
    is_dynamic: bool
    uses_path: bool


def parse(source: bytes, file: str) -> Syntax:
    """Parse a Python file.

    A string constant in the form of a dotted name counts as an import, as in
    ``[sys.executable, "-m", "serving.app"]``.

    Parameters
    ----------
    source : bytes
        The file's content.
    file : str
        Its path relative to the project, with slashes: relative imports start there.

    Returns
    -------
    Syntax
        For a file that cannot be parsed: the digest of its bytes, with both flags True.
    """
    try:
        writer = _Writer(source, PurePosixPath(file).parts[:-1])
        writer.write_block(ast.parse(source, filename=file).body)
    except (SyntaxError, ValueError, RecursionError):
        return Syntax(hashlib.sha256(source).hexdigest(), (), True, True)
    text = "\0".join(writer.tokens)
    return Syntax(
        hashlib.sha256(text.encode()).hexdigest() if text else "",
        [sorted(block) for block in writer.blocks],
        writer.is_dynamic,
        writer.uses_path,
    )


def read_memo(path: Path) -> dict[str, tuple[str, Syntax]]:
    """Read the file of `write_memo`; empty where another parser wrote it or it is damaged.

    Returns
    -------
    dict of str to (str, Syntax)
        By file, the sha256 of its bytes and its syntax.
    """
    try:
        content = json.loads(path.read_text())
        if content["parser"] != _parser():
            return {}
        return {
            file: (sha256, Syntax(digest, [[Import(*i) for i in b] for b in blocks], *flags))
            for file, (sha256, digest, blocks, *flags) in content["files"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def write_memo(path: Path, syntaxes: Mapping[str, tuple[str, Syntax]]) -> None:
    """Store the syntax of files for the next process; do nothing where writing is not allowed."""
    content = {
        "parser": _parser(),
        "files": {
            file: (sha256, s.digest, s.blocks, s.is_dynamic, s.uses_path)
            for file, (sha256, s) in syntaxes.items()
        },
    }
    partial = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        partial.write_text(json.dumps(content))
        partial.replace(path)


def _parser() -> str:
    """Identify the parser that a memo depends on: this module and Python's version."""
    return f"{file_sha256(Path(__file__))} {sys.version_info[:2]}"


class _Writer:
    """Writer of a syntax tree as tokens; `ast.dump` is slower, and Python versions differ in it."""

    def __init__(self, source: bytes, package: Sequence[str]) -> None:
        self.tokens: list[str] = []
        self.blocks: list[set[Import]] = []
        self.is_dynamic = self.uses_path = False
        self._source, self._package = source, package

    def write_block(self, statements: Sequence[ast.stmt]) -> None:
        """Write statements one after the other, adjacent imports as one gap."""
        adjacent: set[Import] | None = None
        for statement in statements:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                if adjacent is None:
                    adjacent = self._open_gap()
                adjacent.update(self._imports(statement))
            elif _is_type_checking(statement):
                if statement.orelse:
                    adjacent = None
                    self.write_block(statement.orelse)
            elif not _is_text(statement):
                adjacent = None
                self._write(statement)

    def _open_gap(self) -> set[Import]:
        self.tokens.append(_GAP)
        self.blocks.append(set())
        return self.blocks[-1]

    def _write(self, value: object) -> None:
        """Write a node, a list of nodes, or the plain value of a node's field."""
        tokens = self.tokens
        # Half of all nodes are names and constants.
        if isinstance(value, ast.Name):
            self.is_dynamic |= value.id in DYNAMIC_NAMES
            self.uses_path |= value.id in PATH_NAMES
            tokens += ("Name", value.id)
        elif isinstance(value, ast.Constant):
            text = value.value
            if isinstance(text, str) and "." in text and _DOTTED.fullmatch(text):
                self._open_gap().add(Import(text, "", ""))  # perhaps the name of a module
            else:
                tokens += ("Constant", repr(text))
        elif isinstance(value, ast.AST):
            self._write_fields(value)
        elif isinstance(value, list):
            tokens.append("[")
            if isinstance(value[0], ast.stmt):
                self.write_block(value)
            else:
                for item in value:
                    self._write(item)
            tokens.append("]")
        else:
            tokens.append(repr(value))

    def _write_fields(self, node: ast.AST) -> None:
        self.tokens.append(node.__class__.__name__)
        for field in node._fields:
            value = node.__dict__.get(field)
            # Whether a name is read or set follows from where it is.
            if value is not None and value != [] and field != "ctx":
                self.tokens.append(field)
                self._write(value)
        self.tokens.append(")")

    def _imports(self, node: ast.Import | ast.ImportFrom) -> list[Import]:
        names = [(alias.name, alias.asname or alias.name) for alias in node.names]
        if isinstance(node, ast.Import):
            imports = [Import(module, "", bound) for module, bound in names]
        else:
            parents = self._package[: len(self._package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *filter(None, [node.module])])
            imports = [Import(module, name, bound) for name, bound in names]
        if any(map(_is_dynamic, imports)):
            self.is_dynamic |= PRELOADS not in self._source.splitlines()[node.lineno - 1]
        return imports


def _is_dynamic(imported: Import) -> bool:
    """Whether an import is of a dynamic module, or of every name of a module (``*``)."""
    full = f"{imported.module}.{imported.name}".rstrip(".")
    is_dynamic = full.partition(".")[0] in DYNAMIC_MODULES
    return (is_dynamic and not full.startswith(PASSIVE_MODULES)) or imported.name == "*"


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone: a docstring, or text beside what it describes."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_type_checking(statement: ast.stmt) -> TypeGuard[ast.If]:
    """Whether a statement is ``if TYPE_CHECKING``, whose first block never runs."""
    if not isinstance(statement, ast.If):
        return False
    test = statement.test
    name = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
    return name == "TYPE_CHECKING"
