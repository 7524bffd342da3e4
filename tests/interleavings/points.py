"""The code under test, with a point to switch threads at before each access to something that others can see.

A module is read from its file, and before each access a call is put in: to an attribute of an object (read, written,
deleted) and to the contents of a list, deque, set or dict (its methods, ``len``, ``in``, truth, subscripts, loops).
Nothing else is changed. So threads are switched between a read and the write that follows it in one line, where an
interpreter without its lock may do so, too. A method of a container is one step; so is a loop over one, which is as
much as to say that the code under test does it under a lock.

Modules are executed anew, under a private name, with `modules` in place of ``threading``, ``time``, ``os`` and
``select``; they import each other's copies. What they are elsewhere in the process is not touched.
"""

from __future__ import annotations

import ast
import builtins
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.interleavings import accesses, modules

_READING_FUNCTIONS = frozenset(
    ("all", "any", "bool", "dict", "iter", "len", "list", "max", "min", "set", "sorted", "sum", "tuple")
)
_MAKERS = ("__init__", "_forget")  # nobody else has the object meanwhile (`_forget`: also after a fork, not modelled)


class _Points(ast.NodeTransformer):
    """Puts the calls in.

    What never changes after an object was made is left out: nobody can see in which order it is read.
    """

    def __init__(self) -> None:
        self._is_making = False

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._attribute(node, "__see__")

    def _attribute(self, node: ast.Attribute, reader: str) -> ast.expr:
        value = self.visit(node.value)
        if isinstance(node.ctx, ast.Load):
            return _call(node, reader, value, ast.Constant(node.attr))
        if self._is_making:
            return ast.copy_location(ast.Attribute(value, node.attr, node.ctx), node)
        accesses.changing.add(node.attr)
        return ast.copy_location(ast.Attribute(_call(node, "__hold__", value), node.attr, node.ctx), node)

    def _unread(self, node: ast.expr) -> ast.expr:
        """Visit an expression whose value is not looked into at once."""
        result: ast.expr = (
            self._attribute(node, "__peek__")
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
            else self.visit(node)
        )
        return result

    def _read(self, node: ast.expr) -> ast.expr:
        """Visit an expression whose value is looked into at once."""
        if isinstance(node, ast.Name):
            return _call(node, "__contents__", node)
        result: ast.expr = self.visit(node)
        return result

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        reads = isinstance(function, ast.Name) and function.id in _READING_FUNCTIONS
        args = [self._read(arg) if reads else self._unread(arg) for arg in node.args]
        keywords = [ast.keyword(word.arg, self._unread(word.value)) for word in node.keywords]
        if isinstance(function, ast.Attribute):
            first = [self._unread(function.value), ast.Constant(function.attr)]
            call = ast.Call(ast.Name("__do__", ast.Load()), [*first, *args], keywords)
        else:
            call = ast.Call(self.visit(function), args, keywords)
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        targets = [self.visit(target) for target in node.targets]
        value = node.value
        if isinstance(value, ast.Tuple):
            visited: ast.expr = ast.copy_location(
                ast.Tuple([self._unread(element) for element in value.elts], ast.Load()), value
            )
        else:
            visited = self._unread(value)
        return ast.copy_location(ast.Assign(targets, visited), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self._unread(node.value)
        node.target = self.visit(node.target)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node  # annotations are no accesses

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is not None:
            node.value = self._unread(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name == "__del__":  # nobody else has the object any more, and when it runs is not the schedule's choice
            return node
        was_making, self._is_making = self._is_making, node.name in _MAKERS
        node.body = [self.visit(statement) for statement in node.body]
        self._is_making = was_making
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        reader = self._read if isinstance(node.ctx, ast.Load) else self._unread
        value = reader(node.value)
        if not isinstance(node.ctx, ast.Load):
            value = _call(node, "__changed__", value)
        return ast.copy_location(ast.Subscript(value, self.visit(node.slice), node.ctx), node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        node.left = self._unread(node.left)
        looks = any(isinstance(operator, (ast.In, ast.NotIn)) for operator in node.ops)
        node.comparators = [(self._read if looks else self._unread)(other) for other in node.comparators]
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._branch(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._branch(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test, node.body, node.orelse = self._read(node.test), self.visit(node.body), self.visit(node.orelse)
        return node

    def _branch(self, node: ast.If | ast.While) -> ast.AST:
        node.test = self._read(node.test)
        node.body = [self.visit(statement) for statement in node.body]
        node.orelse = [self.visit(statement) for statement in node.orelse]
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        node.operand = self._read(node.operand) if isinstance(node.op, ast.Not) else self.visit(node.operand)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        node.values = [self._read(value) for value in node.values]
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        node.iter = self._read(node.iter)
        node.body = [self.visit(statement) for statement in node.body]
        node.orelse = [self.visit(statement) for statement in node.orelse]
        return node


def _call(place: ast.expr, name: str, *args: ast.expr) -> ast.expr:
    call = ast.Call(ast.Name(name, ast.Load()), list(args), [])
    return ast.fix_missing_locations(ast.copy_location(call, place))


_ROOT = Path(__file__).parents[2]
_REPLACED: dict[str, Any] = {
    "threading": modules.threading,
    "time": modules.time,
    "os": modules.os,
    "select": modules.select,
}
_UNDER_TEST = ("bridge._runtime.", "tests.interleavings.mutants")
_copies: dict[str, ModuleType] = {}


def copy_of(name: str) -> Any:
    """Return the copy of a module, with points to switch at; made at the first call."""
    copy = _copies.get(name)
    if copy is None:
        path = _ROOT.joinpath(*name.split(".")).with_suffix(".py")
        tree = _Points().visit(ast.parse(path.read_text(encoding="utf-8")))
        accesses.forget_variables()
        copy = _copies[name] = ModuleType(accesses.PREFIX + name)
        vars(copy).update(
            __file__=str(path),
            __builtins__={**vars(builtins), "__import__": _import, "set": accesses.OrderedSet},
            __see__=accesses.see,
            __peek__=accesses.peek,
            __contents__=accesses.contents,
            __changed__=accesses.changed,
            __do__=accesses.do,
            __hold__=accesses.Held,
        )
        sys.modules[copy.__name__] = copy  # dataclasses look their module up
        try:
            exec(compile(tree, str(path), "exec"), vars(copy))
        finally:
            del sys.modules[copy.__name__]
    return copy


def _import(name: str, *args: Any, **kwargs: Any) -> Any:
    """Import as ``import`` does, from a copy."""
    if name in _REPLACED:
        return _REPLACED[name]
    if name.startswith(_UNDER_TEST):
        return copy_of(name)
    return builtins.__import__(name, *args, **kwargs)
