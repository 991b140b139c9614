"""Turn a node of an ONNX model into a step."""

from collections.abc import Callable, Mapping

from upstroke.graph.growth import grown, is_larger
from upstroke.graph.onnx_arithmetic import (
    batch_normalization,
    cast,
    comparison,
    concatenation,
    dropout,
    function,
    negation,
    sum_of,
    two_operands,
)
from upstroke.graph.onnx_call import Call, CannotReadError
from upstroke.graph.onnx_positions import POSITIONS, why_lost
from upstroke.graph.onnx_resize import depth_to_space, resize, upsample
from upstroke.graph.onnx_windows import convolution, pad, pool, transposed_convolution
from upstroke.graph.steps import Expansion, Mixing, Other, Reshape, Same, Step, Transpose, Unread

__all__ = ["step_of"]

FUNCTIONS = """
    Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
    HardSwish IsInf IsNaN LeakyRelu Log Mish Not PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh
    Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
"""
COMPARISONS = """
    And BitwiseAnd BitwiseOr BitwiseXor Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Or Pow Xor
"""
# A last axis that a product or a join makes longer holds features, not samples.
NO_GROWTH = {"Attention", "Concat", "Einsum", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
# These grow maps by what their values say, which no shape tells beforehand.
GROWERS = {"Col2Im", "MaxUnpool"}


def _same(call: Call) -> Step:
    return Same()


def _reshape(call: Call) -> Step:
    return Reshape()


def _transpose(call: Call) -> Step:
    shape = call.shape()
    order = call.numbers("perm", ())
    if not order and shape is None:
        return Other()
    return Transpose(order=order or tuple(reversed(range(len(shape or ())))))


READERS: Mapping[str, Callable[[Call], Step]] = {
    **POSITIONS,
    "Add": two_operands,
    "AveragePool": pool,
    "BatchNormalization": batch_normalization,
    "Cast": cast,
    "CastLike": _same,
    "Concat": concatenation,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "DepthToSpace": depth_to_space,
    "Div": two_operands,
    "Dropout": dropout,
    "Flatten": _reshape,
    "Identity": _same,
    "MaxPool": pool,
    "Mean": sum_of,
    "Mul": two_operands,
    "Neg": negation,
    "Pad": pad,
    "Reshape": _reshape,
    "Resize": resize,
    "Squeeze": _reshape,
    "Sub": two_operands,
    "Sum": sum_of,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
    "Upsample": upsample,
    **dict.fromkeys(FUNCTIONS.split(), function),
    **dict.fromkeys(COMPARISONS.split(), comparison),
}
# In all others the map is the first input.
EITHER_OPERAND = {
    *("Add", "Sub", "Mul", "Div", "Sum", "Mean", "Concat", "Gather", "Gemm", "MatMul", "Where"),
    *COMPARISONS.split(),
}


def step_of(call: Call) -> Step:
    """What a standard operator does; a reason where it could grow maps and cannot be read."""
    reader = READERS.get(call.operator)
    first = bool(call.inputs) and call.inputs[0] in call.computed
    step: Step = Other()
    if reader is not None and (first or call.operator in EITHER_OPERAND):
        try:
            step = reader(call)
        except CannotReadError as error:
            return Unread(reason=str(error)) if error.grows else Other(reason=str(error))
        except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError):
            return Unread(reason=f"its inputs and attributes are not those of a {call.operator}")
    return _unless_it_grows(call, step) if isinstance(step, Other | Mixing | Expansion) else step


def _unless_it_grows(call: Call, step: Step) -> Step:
    if call.operator in GROWERS:
        return Unread(reason=f"{call.operator} grows maps by what their values say")
    before = call.shapes.get(call.maps[0]) if call.maps else None
    after = call.shapes.get(call.outputs[0])
    if call.operator in NO_GROWTH or before is None or after is None or not is_larger(before, after):
        return Other(reason=why_lost(call.operator)) if isinstance(step, Other) and not step.reason else step
    return Unread(reason=grown(call.operator, before, after))
