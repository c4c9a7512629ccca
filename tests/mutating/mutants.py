"""Small mistakes, made on purpose: one changed operator, constant, condition or statement each.

Only bodies of functions are changed. Texts are left alone, but for numbers in them: what a message
says is read by people, and a test that repeats it proves nothing.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import CodeType

_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_LOGS = {"log", "_log"}


@dataclass(frozen=True)
class Mutant:
    """One mistake: where it is, what it does, and the number of the node and of its change."""

    function: str  # qualified name of the outermost function around it
    line: int
    kind: str
    text: str
    node: int
    change: int


@dataclass(frozen=True)
class _Change:
    kind: str
    make: Callable[[], ast.AST | None]  # the node instead; None: it is taken out
    text: str = ""  # where before and after are too long to see what differs


def mutants_of(source: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of its text."""
    tree = ast.parse(source)
    found = []
    for function, qualified in _functions(tree):
        numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
        for node in _bodies(function):
            for number, change in enumerate(_changes(node)):
                found.append(
                    Mutant(
                        function=qualified,
                        line=_line_of(node),
                        kind=change.kind,
                        text=change.text or _text(node, change.make()),
                        node=numbers[id(node)],
                        change=number,
                    )
                )
    return sorted(found, key=lambda each: (each.line, each.node, each.change))


def _line_of(node: ast.AST) -> int:
    place = node.pattern if isinstance(node, ast.match_case) else node
    return getattr(place, "lineno", 0)


def _text(before: ast.AST, after: ast.AST | None) -> str:
    lines = ["nothing" if node is None else ast.unparse(node) for node in (before, after)]
    return " -> ".join(line.partition("\n")[0] for line in lines)


def code_of(source: str, mutant: Mutant, filename: str) -> CodeType:
    """Return the compiled outermost function with the mutant in it."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    target = nodes[mutant.node]
    change = list(_changes(target))[mutant.change]
    _put(tree, target, change.make())
    module = compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True)
    for code in _codes(module):
        if code.co_qualname == mutant.function:
            return code
    raise LookupError(mutant.function)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Yield outermost functions, also those in classes, with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.expr):
            yield from _functions(node, prefix)


def _bodies(function: ast.AST) -> Iterator[ast.AST]:
    """Yield every node that runs, without annotations, defaults, decorators and docstrings."""
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    waiting: list[ast.AST] = list(_statements(function.body))
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Assert) or _is_log(node) or _is_never(node):
            continue  # narrows types; says something
        yield node
        if isinstance(node, ast.Raise):
            continue  # what it says
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting[:0] = _statements(node.body)
        elif isinstance(node, ast.AnnAssign):
            waiting[:0] = [node.value] if node.value is not None else []
        elif isinstance(node, ast.JoinedStr):
            continue
        else:
            waiting[:0] = ast.iter_child_nodes(node)


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_text else body


def _is_log(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    place = call.func if isinstance(call, ast.Call) else None
    name = place.value if isinstance(place, ast.Attribute) else None
    return isinstance(name, ast.Name) and name.id in _LOGS


def _is_never(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    place = call.func if isinstance(call, ast.Call) else None
    return isinstance(place, ast.Name) and place.id == "assert_never"


def _changes(node: ast.AST) -> Iterator[_Change]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for index, op in enumerate(ops):
                for new in _COMPARE.get(type(op), ()):
                    made = [*ops[:index], new(), *ops[index + 1 :]]
                    yield _Change("comparison", lambda made=made: ast.Compare(left, made, others))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            new_op = _ARITHMETIC[type(op)]()
            yield _Change("arithmetic", lambda: ast.BinOp(left, new_op, right))
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in _ARITHMETIC:
            new_op = _ARITHMETIC[type(op)]()
            yield _Change("arithmetic", lambda: ast.AugAssign(target, new_op, value))
            yield _Change("deleted", lambda: None)
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield _Change("boolean", lambda: ast.BoolOp(other, values))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield _Change("boolean", lambda: operand)
        case (
            ast.If(test=ast.Name() | ast.Attribute() | ast.Call() as test)
            | ast.IfExp(test=ast.Name() | ast.Attribute() | ast.Call() as test)
        ):
            yield _Change("boolean", lambda: _with_test(node, ast.UnaryOp(ast.Not(), test)))
        case ast.Constant(value=bool() as value):
            yield _Change("constant", lambda: ast.Constant(not value))
        case ast.Constant(value=int() | float() as value):
            yield _Change("constant", lambda: ast.Constant(value + 1))
        case ast.Constant(value=str() as value) if (number := _number(value)) is not None:
            yield _Change("constant", lambda: ast.Constant(str(number + 1)))
        case ast.Return(value=value) if value is not None and not _is_no(value):
            yield _Change("return", lambda: ast.Return(ast.Constant(None)))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            yield _Change("deleted", lambda: None)
        case (
            ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
            | ast.Delete(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield _Change("deleted", lambda: None)
        case ast.match_case(pattern=pattern, guard=ast.expr(), body=body):
            true = ast.Constant(value=True)
            yield _Change("guard", lambda: ast.match_case(pattern, true, body))
        case ast.Call(func=ast.Name(id="replace") as func, args=args, keywords=words):
            for index, word in enumerate(words):
                rest = [*words[:index], *words[index + 1 :]]
                if word.arg is not None:
                    text = f"replace({', '.join(map(ast.unparse, args))}, …) without {word.arg}"
                    yield _Change(
                        "dropped field", lambda rest=rest: ast.Call(func, args, rest), text
                    )


def _with_test(node: ast.AST, test: ast.expr) -> ast.AST:
    if isinstance(node, ast.If):
        return ast.If(test, node.body, node.orelse)
    assert isinstance(node, ast.IfExp)
    return ast.IfExp(test, node.body, node.orelse)


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _is_no(node: ast.expr) -> bool:
    """Whether that is None, or False, which becomes True by itself: None says the same."""
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _put(tree: ast.AST, target: ast.AST, made: ast.AST | None) -> None:
    """Put `made` in the place of `target`; take it out if that is None."""
    if made is None:
        made = ast.Pass()
    ast.copy_location(made, target)
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if value is target:
                setattr(node, name, made)
                return
            if isinstance(value, list):
                for index, each in enumerate(value):
                    if each is target:
                        value[index] = made
                        return
    raise LookupError(ast.dump(target))
