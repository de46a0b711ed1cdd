"""The units of a plan's quantities, and their formulas as they are printed.

A quantity is a `cached_property` whose body is a docstring and one ``return``. What is printed of it is read off its
own source, so that what a reader sees is what was computed.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, get_type_hints

Count = Annotated[float, ""]
Bytes = Annotated[float, "bytes"]
Flop = Annotated[float, "FLOP"]
Seconds = Annotated[float, "s"]
Hours = Annotated[float, "h"]


@dataclass(frozen=True)
class Formula:
    """How one quantity is computed.

    Attributes:
        name: the name of the property.
        unit: "bytes", "FLOP", "s", "h", or "" for a count.
        expression: what the property returns, over givens and other quantities.
        meaning: the first line of its docstring, without the full stop.
    """

    name: str
    unit: str
    expression: str
    meaning: str


@cache
def formulas(part: type) -> tuple[Formula, ...]:
    """The formulas of the quantities that a class defines itself, in the order of its source."""
    return tuple(_formula(entry.func) for entry in vars(part).values() if isinstance(entry, cached_property))


def _formula(quantity: Callable) -> Formula:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(quantity))).body
    match definition:
        case ast.FunctionDef(body=[ast.Expr(), ast.Return(value=ast.expr() as returned)]):
            expression = ast.unparse(returned).replace("self.", "")
        case _:
            raise TypeError(f"{quantity.__qualname__}: must be a docstring and one return, which is what is printed")
    [unit] = get_type_hints(quantity, include_extras=True)["return"].__metadata__
    meaning = (quantity.__doc__ or "").partition("\n")[0].removesuffix(".")
    return Formula(quantity.__name__, unit, expression, meaning)


def meanings(givens: type) -> dict[str, str]:
    """What each field of a dataclass means, where its type is annotated with words, by name."""
    hints = get_type_hints(givens, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}
