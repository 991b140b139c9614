"""Wrong types are refused in every test run: in calls, in what is given back, in dataclasses and in shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import beartype
import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from checked_calls import _checked
from upstroke.polyphase import Affine, linear
from upstroke.rewrite.measure import choose


def checked(what):
    return _checked(what, typechecker=beartype.beartype)


@checked
def words(numbers: Sequence[float], *, of: str = "x") -> str:
    return of if len(numbers) < 3 else len(numbers)


@checked
def added(x: Float[Tensor, "n m"], y: "Float[Tensor, 'm']") -> Float[Tensor, "n m"]:
    return x + y if len(y) < 4 else y


@checked
def each(numbers: tuple[Float[Tensor, "n"], ...]) -> Iterator[int]:
    yield len(numbers)


@checked
@dataclass(frozen=True, kw_only=True)
class Value:
    size: int
    rest: dict[str, int] = field(default_factory=dict)


@checked
@dataclass(frozen=True, kw_only=True)
class Larger(Value):
    more: tuple[int, ...] = ()


def test_what_is_right_passes():
    assert words([1.0, 2.0], of="y") == "y"
    assert added(torch.zeros(2, 3), torch.ones(3)).sum() == 6
    assert list(each((torch.zeros(2), torch.zeros(2)))) == [2]
    assert Larger(size=3, more=(1,)).rest == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda: words(3),
        lambda: words([1.0], of=3),
        # what comes back
        lambda: words([1.0, 2.0, 3.0]),
        lambda: added(torch.zeros(2, 4), torch.zeros(4)),
        # axes that differ, one of them behind a name in quotes
        lambda: added(torch.zeros(2, 3), torch.zeros(2)),
        lambda: list(each((torch.zeros(2, 2),))),
        lambda: Value(size="3"),
        lambda: Value(size=3, rest=[]),
        lambda: Larger(size="3"),
        lambda: Larger(size=3, more=("a",)),
        # and so in the package itself
        lambda: choose(3),
        lambda: Affine(operator=linear(2), bias=torch.zeros(3)),
    ],
)
def test_what_is_wrong_is_a_type_error(call):
    with pytest.raises(TypeCheckError):
        call()


@pytest.mark.usefixtures("_unchecked")
def test_checks_can_be_turned_off():
    assert words([1.0, 2.0, 3.0]) == 3
    assert Value(size="3").size == "3"
