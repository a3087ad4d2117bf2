"""Who may import whom, checked from the text of every module: imports point down, and the pure stay pure.

    python tools/layers.py [CHECKOUT]

Imports inside functions and under TYPE_CHECKING count like any other.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LEVELS = (
    ("cw",),
    ("roles",),
    ("net", "auth"),
    ("host",),
    ("mesh", "policy"),
    ("vm", "wire", "conf"),
    ("errors",),
)
"""Top-level names from the highest down. One may import itself and what is on a level below its own."""

PURE = ("mesh", "policy", "vm", "wire", "conf")
"""These get time, random bytes, keys and connections as arguments, so that tests can give them any."""

IMPURE = (
    "asyncio", "multiprocessing", "random", "secrets", "select", "selectors", "signal", "socket", "ssl",
    "subprocess", "threading", "time", "trio",
    "datetime.date.today", "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow",
    "nacl.bindings.randombytes", "nacl.utils.random",
    "os.fork", "os.getrandom", "os.popen", "os.system", "os.times", "os.urandom",
    "uuid.getnode", "uuid.uuid1", "uuid.uuid4",
)  # fmt: skip
"""What the pure do not name: modules with all that is in them, and single functions of modules."""

LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}


class Violation(NamedTuple):
    """One import that should not be."""

    file: str
    line: int
    sentence: str


def uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a module imports, or reaches as an attribute of what it imports."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for name in names:
                    known[name.asname or name.name.split(".")[0]] = (
                        name.name if name.asname else name.name.split(".")[0]
                    )
                    yield node.lineno, name.name
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for name in names:
                    known[name.asname or name.name] = f"{module}.{name.name}"
                    yield node.lineno, f"{module}.{name.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = dotted(node)
            if parts and parts[0] in known:
                yield node.lineno, ".".join((known[parts[0]], *parts[1:]))


def dotted(node: ast.expr) -> tuple[str, ...]:
    """("os", "path", "join") of such an expression; () of any other."""
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=value, attr=attr) if parts := dotted(value):
            return (*parts, attr)
    return ()


def within(name: str, forbidden: str) -> bool:
    """Is a dotted name this one, or something inside it?"""
    return name == forbidden or name.startswith(f"{forbidden}.")


def violations_of(file: str, source: str) -> Iterator[Violation]:
    """What is wrong with one module; `file` is its path in the checkout."""
    importer = file.removesuffix(".py").partition("/")[0]
    try:
        tree = ast.parse(source, file)
    except SyntaxError as error:
        yield Violation(file, error.lineno or 1, f"not Python: {error.msg}")
        return
    for line, name in uses(tree):
        imported = name.partition(".")[0]
        if imported in LEVEL_OF and imported != importer and LEVEL_OF[imported] <= LEVEL_OF[importer]:
            yield Violation(file, line, f"{importer} is not above {imported}")
        if imported in ("bench", "tests", "tools"):
            yield Violation(file, line, f"{imported} is not part of the product")
        if importer in PURE and any(within(name, forbidden) for forbidden in IMPURE):
            yield Violation(file, line, f"{importer} is pure, {name} is not")


def violations(checkout: Path) -> list[Violation]:
    """What is wrong in a checkout, in order, each once."""
    files = [
        path for name in LEVEL_OF for path in (checkout / f"{name}.py", *(checkout / name).rglob("*.py"))
    ]
    return sorted(
        {
            violation
            for path in files
            if path.is_file()
            for violation in violations_of(path.relative_to(checkout).as_posix(), path.read_text("utf-8"))
        }
    )


def main(checkout: Path) -> int:
    """Print what is wrong, one a line; 1 if anything is."""
    found = violations(checkout)
    for file, line, sentence in found:
        print(f"{file}:{line}: {sentence}")
    if found:
        print(f"imports point down: {' → '.join(' | '.join(names) for names in LEVELS)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:2])))
