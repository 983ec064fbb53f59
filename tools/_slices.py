"""Which cells of a notebook a cell needs: those that define or change a name that it reads, and what these need.

A static reading of the code, so it can miss a cell that changes an object through another name. Whoever runs such a
slice runs it once with the unchanged package too, and sees whether the claims hold there.
"""

import ast
import itertools
import re
import symtable
from collections.abc import Collection, Sequence
from typing import NamedTuple


class Names(NamedTuple):
    """What a cell does to the names of its notebook.

    Attributes:
        reads: their values from earlier cells may be used.
        changes: assigned, imported, or changed in place.
        defines: those of `changes` whose earlier value is gone after the cell.
        modules: those of `defines` that are imported.
        later: those of `reads` that functions read, so when they are called, in a later cell maybe.
    """

    reads: frozenset[str]
    changes: frozenset[str]
    defines: frozenset[str]
    modules: frozenset[str]
    later: frozenset[str]


def plain(source: str) -> str:
    """A cell as a script runs it: lines with IPython's % and ! do nothing."""
    return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.M)


def names(source: str) -> Names:
    """Read one cell. A loop is taken to run at least once; the branches of `if` and `try` may not run."""
    reads, changes, defines, modules, later = set(), set(), set(), set(), set()

    def visit(statement: ast.stmt, known: set[str]) -> None:
        blocks = [getattr(statement, field, []) for field in ("body", "orelse", "finalbody")]
        if isinstance(statement, ast.For | ast.With):
            nothing = [ast.Pass()]
            if isinstance(statement, ast.For):
                simple(ast.For(statement.target, statement.iter, nothing, []), known)
            else:
                simple(ast.With(statement.items, nothing), known)
            for inner in itertools.chain(*blocks):
                visit(inner, known)
        elif isinstance(statement, ast.If | ast.While | ast.Try):
            if not isinstance(statement, ast.Try):
                simple(ast.Expr(statement.test), known)
            for block in [*blocks, *(handler.body for handler in getattr(statement, "handlers", []))]:
                within = set(known)
                for inner in block:
                    visit(inner, within)
        else:
            simple(statement, known)

    def simple(statement: ast.stmt, known: set[str]) -> None:
        table = symtable.symtable(ast.unparse(ast.fix_missing_locations(statement)), "cell", "exec")
        assigned = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
        own = assigned if isinstance(statement, ast.AugAssign) else set()
        reads.update((_global_reads(table) | own) - known)
        later.update(*map(_global_reads, table.get_children()))
        known |= assigned
        changes.update(assigned)
        modules.update(symbol.get_name() for symbol in table.get_symbols() if symbol.is_imported())
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            changes.update(_changed_in_place(statement))

    for statement in ast.parse(plain(source)).body:
        visit(statement, defines)
    return Names(*map(frozenset, (reads, changes, defines, modules, later)))


def _changed_in_place(statement: ast.stmt) -> set[str]:
    """The names whose value a statement changes: a.b = c, a[b] = c, and a.append(b), said for its effect."""
    found = set()
    for node in ast.walk(statement):
        match node:
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                found |= _root(node)
            case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
                found |= _root(method)
    return found


def _global_reads(table: symtable.SymbolTable) -> set[str]:
    """The names of the notebook that a piece of code reads, in the functions that it defines too."""
    module = table.get_type() == "module"
    found = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (module or s.is_global())}
    return found.union(*(_global_reads(child) for child in table.get_children()))


def _root(node: ast.expr) -> set[str]:
    """The name at the start of a.b[c].d, if there is one."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def needed(sources: Sequence[str], targets: Collection[int], always: Collection[int] = (0,)) -> list[int]:
    """The cells to run, in order, for the cells `targets` (positions from 0); the cells `always` come with them."""
    cells = [names(source) for source in sources]
    modules = frozenset().union(*(cell.modules for cell in cells))  # nh.show(...) changes nothing of nh
    late: frozenset[str] = frozenset()
    while True:
        chosen, wanted = [], set(late)
        for place in range(max(targets), -1, -1):
            cell = cells[place]
            changed = (cell.changes - modules) | cell.modules
            if place in targets or place in always or changed & wanted:
                chosen.append(place)
                wanted = (wanted - cell.defines) | cell.reads
        called = late.union(*(cells[place].later for place in chosen))
        if called == late:
            return chosen[::-1]
        late = called
