"""What is printed of a plan is what was computed: formulas, evaluated here from their text, give the printed values."""

import ast
import operator
from dataclasses import replace
from functools import cached_property
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_model.gpus import GPUS
from pi_model.planning import Shape, plan, report, table
from pi_model.planning.formulas import Count, formulas
from pi_model.planning.sheet import PARTS, Sheet
from pi_model.training.config import ADAPTABLE, CHECKPOINTING, Lora
from pi_model.training.recipes import RECIPES, recipe

OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Eq: operator.eq, ast.Gt: operator.gt, ast.LtE: operator.le, ast.In: lambda item, group: item in group,
    ast.NotIn: lambda item, group: item not in group,
}  # fmt: skip
PLANNABLE = {name: recipe(name) for name in RECIPES if not str(recipe(name).model).endswith("/model")}
SHAPES = {name: Shape.of_run(config) for name, config in PLANNABLE.items()}


def evaluated(node: ast.expr, values: dict[str, Any]) -> Any:
    """The value of an expression of names, numbers, arithmetic, comparisons, choices, max and min."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            return OPERATORS[type(op)](evaluated(left, values), evaluated(right, values))
        case ast.IfExp(test=test, body=body, orelse=other):
            return evaluated(body if evaluated(test, values) else other, values)
        case ast.BoolOp(op=op, values=parts):
            return (all if isinstance(op, ast.And) else any)(evaluated(part, values) for part in parts)
        case ast.Call(func=ast.Name(id=("max" | "min") as name), args=arguments):
            return {"max": max, "min": min}[name](evaluated(argument, values) for argument in arguments)
    raise AssertionError(f"a printed formula has {ast.dump(node)}")


@given(
    name=st.sampled_from(list(PLANNABLE)),
    gpu=st.sampled_from(list(GPUS.values())),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    device=st.sampled_from(["cpu", "cuda"]),
    checkpointing=st.sampled_from(CHECKPOINTING),
    targets=st.sets(st.sampled_from(ADAPTABLE)),
    dropout=st.sampled_from([0.0, 0.1]),
    everyone=st.booleans(),
    compiled=st.booleans(),
    shared=st.sampled_from([1, 2, 8]),
)
def test_each_printed_formula_gives_the_printed_value(
    name, gpu, dtype, device, checkpointing, targets, dropout, everyone, compiled, shared
):
    config = replace(PLANNABLE[name], dtype=dtype, device=device, activation_checkpointing=checkpointing, micro_batch=1)
    if checkpointing != "selective":
        config = replace(config, compile=compiled) if shared == 1 else replace(config, context_parallel=shared)
    if targets and not config.architecture:
        config = replace(config, lora=Lora(targets=tuple(targets), dropout=dropout))
    gpus = config.context_parallel * (config.global_batch if everyone else 1)
    content = report(plan(config, SHAPES[name], gpu, gpus), None, [])
    values = content["givens"] | {name: one["value"] for name, one in content["quantities"].items()}
    for quantity, one in content["quantities"].items():
        assert evaluated(ast.parse(one["formula"], mode="eval").body, values) == one["value"], quantity


def test_every_quantity_of_the_sheet_is_printed_once_with_a_meaning():
    printed = [formula for part in PARTS.values() for formula in formulas(part)]
    names = [formula.name for formula in printed]
    defined = {name for name in dir(Sheet) if isinstance(getattr(Sheet, name), cached_property)}
    assert sorted(names) == sorted(defined)
    assert all(formula.meaning for formula in printed)


def test_a_quantity_that_is_more_than_one_expression_is_refused():
    class Part:
        @cached_property
        def twice(self) -> Count:
            """Two."""
            one = 1
            return one + one

    with pytest.raises(TypeError, match="one return"):
        formulas(Part)


def test_the_table_begins_with_the_answer_and_has_formulas_when_asked():
    config, shape = PLANNABLE["llama_7b_8192_pi"], SHAPES["llama_7b_8192_pi"]
    for gpus, answer in ((32, "Yes, it fits on 32 x a100-80: each"), (1, "No, it does not fit on 1 x a100-80: each")):
        content = report(plan(config, shape, GPUS["a100-80"], gpus), 2, [])
        plain, explained = (table(content, explain=explain) for explain in (False, True))
        assert plain.startswith(answer)
        assert explained.startswith(plain[: plain.index("Memory on each GPU")])
        assert max(map(len, explained.splitlines())) <= 80
        for name, one in content["quantities"].items():
            assert sum(line.startswith(f"{name:>24} ") for line in plain.splitlines()) == 1
            assert f"= {one['formula']} " in f"{' '.join(explained.split())} "
            assert f"= {one['formula']} " not in f"{' '.join(plain.split())} "
        for name in content["givens"]:
            assert sum(line.startswith(f"{name:>24} ") for line in explained.splitlines()) == 1
