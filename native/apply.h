// One whole call: a checked problem and its memory, shared among threads.
#pragma once

#include "kernels.h"

namespace upstroke {

// y from x, kernel and bias; x from y and kernel; kernel from y and x, whose sums are kept in float64 and rounded once at
// the end. A bias is one number for each channel, or nullptr. False: there was no memory.
bool apply_upsample(const Kernels& kernels, const Problem& problem, const void* x, const void* kernel, const void* bias, void* y);
bool apply_adjoint(const Kernels& kernels, const Problem& problem, const void* y, const void* kernel, void* x);
bool apply_kernel_gradient(const Kernels& kernels, const Problem& problem, const void* y, const void* x, void* kernel);

}  // namespace upstroke
