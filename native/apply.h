// One whole call: a checked problem and its memory, shared among threads.
#pragma once

#include "kernels.h"

namespace upstroke {

// y from x and taps; x from y and taps; taps from y and x, whose sums are kept in float64 and rounded once at the
// end. False: there was no memory.
bool apply_upsample(const Kernels& kernels, const Problem& problem, const void* x, const void* taps, void* y);
bool apply_adjoint(const Kernels& kernels, const Problem& problem, const void* y, const void* taps, void* x);
bool apply_taps_gradient(const Kernels& kernels, const Problem& problem, const void* y, const void* x, void* taps);

}  // namespace upstroke
