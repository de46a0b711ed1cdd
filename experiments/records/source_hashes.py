"""Which code a study is: the definitions that it reaches, each hashed as a syntax tree.

A record is stale when what was computed could differ. So a study is not its files but the functions, classes and
constants that its ``run`` reaches, in whatever module they stand. Docstrings, comments, formatting, imports and the
text of exceptions are left out of the hash, and so are module paths: rewording, reformatting, and moving a function or
a module leave every record current, while a changed constant, default or operator does not.

What is reached is found by reading, not by running: a name leads to the definition that it stands for, in its own
module or through an import. Two things are taken in although no name leads to them, because they run when a module is
imported: bare statements, and definitions under a decorator of this project, which may register them. What is looked
up by a computed name (``getattr``, ``importlib``) is not found, so what a study reaches must not hang on one.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.records.record import ROOT, Record

_PACKAGES = ("pi_theory", "pi_model", "experiments")
# positions in a file, and what says nothing of the value
_NOT_SYNTAX = ("ctx", "kind", "type_comment")


def sources(module: str, root: Path | None = None) -> list[str]:
    """The definitions that a study or a benchmark reaches, each as its name and a hash, sorted.

    Args:
        module: the dotted name of its script. A study begins at the ``run`` of its ``STUDY``: its description and the
            guess of its duration measure nothing, and its config has a hash of its own. A benchmark begins at ``rows``,
            and any other module at everything that it defines.
        root: the checkout to read; None is this one.
    """
    root = root or ROOT
    files = (path for package in _PACKAGES for path in sorted((root / package).rglob("*.py")))
    reader = _reader(root, tuple((path, path.read_bytes()) for path in files))
    return sorted(f"{name} {digest}" for name, digest in reader.reached(module))


def changed(record: Record) -> list[str]:
    """The names of the definitions in which a record's study differs from the one that made it; empty if in none."""
    script = f"experiments.studies.{record['study']}"
    if not _path(ROOT, script).exists():
        return [script]
    then = record.get("code")
    if not isinstance(then, list):
        return [f"{script} (its record does not say which definitions made it)"]
    return sorted({line.rpartition(" ")[0] for line in {*sources(script)} ^ {*then}})


@dataclass
class _Module:
    """What the statements of a module bind and do.

    Attributes:
        definitions: the statements that bind a name, by name: a function, a class, assignments.
        imports: the module that a name was imported from, by name, and its name there; "" for a module itself.
        effects: the statements that do something when the module is imported.
        imported: the modules that importing this one imports.
    """

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)


class _Reader:
    """Follows names from definition to definition through the project in the folder ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[str, _Module] = {}
        self._there: dict[str, bool] = {}
        self._known: dict[tuple[str, int], tuple[list[tuple[str, str]], str]] = {}

    def reached(self, script: str) -> Iterator[tuple[str, str]]:
        """The name and the hash of every definition that a script reaches."""
        self._waiting: list[tuple[str, str, ast.AST]] = []
        self._wanted: set[tuple[str, str]] = set()
        self._entered: set[str] = set()
        self._enter(script)
        if (run := self._run_of_study(script)) is not None:
            self._waiting.append((script, "run", run))
        else:
            names = self._module(script).definitions
            for name in ["rows"] if "rows" in names else names:
                self._want(script, name)
        while self._waiting:
            module, name, syntax = self._waiting.pop()
            key = module, id(syntax)
            if key not in self._known:
                digest = hashlib.sha256(repr(self._shape(module, syntax)).encode()).hexdigest()[:12]
                self._known[key] = [*self._uses(module, syntax)], digest
            uses, digest = self._known[key]
            for used in uses:
                self._want(*used)
            yield name, digest

    def _run_of_study(self, script: str) -> ast.AST | None:
        for statement in self._module(script).definitions.get("STUDY", []):
            for node in ast.walk(statement):
                if isinstance(node, ast.keyword) and node.arg == "run":
                    return node.value
        return None

    def _enter(self, module: str) -> None:
        """Takes in what importing a module does, and importing what it imports."""
        if module in self._entered or not self._exists(module):
            return
        self._entered.add(module)
        found = self._module(module)
        self._waiting += [(module, getattr(effect, "name", "import"), effect) for effect in found.effects]
        for other in found.imported:
            self._enter(other)

    def _want(self, module: str, name: str) -> None:
        """Takes in the definition that a name stands for in a module, wherever it was imported from.

        Raises:
            LookupError: the module is of this project and does not bind the name by a statement that can be read.
        """
        found = self._module(module)
        while name not in found.definitions and name in found.imports:
            module, name = found.imports[name]
            if not self._exists(module):
                return
            found = self._module(module)
        self._enter(module)
        if not name:  # a module as a value: anything in it may be used
            for each in found.definitions:
                self._want(module, each)
        elif (module, name) not in self._wanted:
            self._wanted.add((module, name))
            if name not in found.definitions:
                raise LookupError(f"{module} does not define {name}, so that nobody can tell what a record depends on")
            self._waiting += [(module, name, statement) for statement in found.definitions[name]]

    def _uses(self, module: str, syntax: ast.AST) -> Iterator[tuple[str, str]]:
        """The module and name of each project definition that a piece of syntax names."""
        if isinstance(syntax, ast.Raise):
            syntax = _without_text(syntax)
        found = self._resolved(module, syntax)
        if found is not None:
            yield found
            return
        for child in ast.iter_child_nodes(syntax):
            if not _is_text(child):
                yield from self._uses(module, child)

    def _resolved(self, module: str, node: ast.AST) -> tuple[str, str] | None:
        """What a name, or a name with attributes such as ``record.digest``, stands for in the project."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        found, own = self._module(module), (module, node.id)
        if node.id in found.definitions:
            return own if not names else None
        if node.id not in found.imports:
            return None
        at, name = found.imports[node.id]
        while not name and names and self._exists(f"{at}.{names[0]}"):
            at = f"{at}.{names.pop(0)}"
        if not name and names and self._exists(at):
            name = names.pop(0)
        return (at, name) if self._exists(at) and not names else None

    def _shape(self, module: str, node: Any) -> Any:
        """A tree of plain values that is the same for the same syntax, in every version of Python and every place."""
        if isinstance(node, list):
            return [self._shape(module, one) for one in node if not _is_text(one) and not _is_import(one)]
        if isinstance(node, ast.Constant):
            return [type(node.value).__name__, repr(node.value)]
        if isinstance(node, ast.Raise):
            node = _without_text(node)
        if not isinstance(node, ast.AST):
            return node
        if (found := self._resolved(module, node)) is not None:
            return ["Name", found[1] or found[0].rpartition(".")[2]]
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in _NOT_SYNTAX)
        return [type(node).__name__, *((n, self._shape(module, v)) for n, v in fields if v is not None and v != [])]

    def _exists(self, module: str) -> bool:
        if module not in self._there:
            self._there[module] = module.split(".")[0] in _PACKAGES and _path(self._root, module).exists()
        return self._there[module]

    def _module(self, name: str) -> _Module:
        if name not in self._modules:
            self._modules[name] = _Module()
            self._read(name, ast.parse(_path(self._root, name).read_bytes()).body)
        return self._modules[name]

    def _read(self, module: str, statements: list[ast.stmt]) -> None:
        into = self._modules[module]
        for statement in statements:
            # An import inside a function binds a name there only; taken for one of the module it leads to the same.
            for node in ast.walk(statement):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    into.imports |= dict(self._bindings(node))
            match statement:
                case ast.Import() | ast.ImportFrom():
                    into.imported += [target for _, (target, _) in self._bindings(statement)]
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    into.definitions.setdefault(statement.name, []).append(statement)
                case ast.If() if "__name__" in ast.unparse(statement.test):
                    pass
                case ast.If() | ast.Try():
                    handlers = [inner for handler in getattr(statement, "handlers", []) for inner in handler.body]
                    self._read(module, [*statement.body, *handlers, *statement.orelse])
                case _:
                    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
                    names = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
                    for name in names:
                        into.definitions.setdefault(name, []).append(statement)
                    if not names and not _is_text(statement):
                        into.effects.append(statement)
        for statement in statements:
            decorators = [node for one in getattr(statement, "decorator_list", []) for node in ast.walk(one)]
            used = [node.id for node in decorators if isinstance(node, ast.Name)]
            if any(name in into.definitions or self._exists(into.imports.get(name, ("", ""))[0]) for name in used):
                into.effects.append(statement)

    def _bindings(self, statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str]]]:
        """The names that an import binds, each with the module and the name there that it stands for."""
        for alias in statement.names:
            if isinstance(statement, ast.Import):
                yield (alias.asname, (alias.name, "")) if alias.asname else (alias.name.split(".")[0], (alias.name, ""))
            elif statement.module:
                inner = f"{statement.module}.{alias.name}"
                target = (inner, "") if self._exists(inner) else (statement.module, alias.name)
                yield alias.asname or alias.name, target


@lru_cache(maxsize=2)
def _reader(root: Path, files: tuple[tuple[Path, bytes], ...]) -> _Reader:
    """The reader of a checkout, which keeps what it has read for the next study as long as no file changes."""
    return _Reader(root)


def _is_text(node: Any) -> bool:
    """Whether it is a statement that is nothing but a string, as docstrings are."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_import(node: Any) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _without_text(node: ast.Raise) -> ast.Raise:
    """A ``raise`` by the type of its exception alone: the words are for a reader, and no result."""
    kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return ast.Raise(exc=kind, cause=None)


def _path(root: Path, module: str) -> Path:
    stem = root.joinpath(*module.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
