// What is compiled once for every set of instructions: the kernels, each over a range of rows.
#pragma once

#include <cstdint>

#include "minimal_problem.h"
#include "problem.h"
#include "shuffle_problem.h"
#include "solve_problem.h"

namespace upstroke {

// One kernel takes a range [first, last) of its units of work, so that threads can share them; whatever it
// allocates it frees. `false`: there was no memory.
struct Kernels {
    const char* instructions;

    std::int64_t (*upsample_units)(const Problem&);
    bool (*upsample)(const Problem&, const void* x, const void* taps, const void* bias, void* y, std::int64_t first,
                     std::int64_t last);

    std::int64_t (*adjoint_units)(const Problem&);
    bool (*adjoint)(const Problem&, const void* y, const void* taps, void* x, std::int64_t first, std::int64_t last);

    // Adds onto `sums`, of the shape of taps in float64, which starts as zeros; every thread has its own. What is added to taps
    // that the kernel lacks means nothing.
    std::int64_t (*taps_gradient_units)(const Problem&);
    bool (*taps_gradient)(const Problem&, const void* y, const void* x, double* sums, std::int64_t first, std::int64_t last);

    // Units: see shuffle_problem.h. They need no memory of their own.
    void (*interleave)(const Shuffle&, const void* phases, void* samples, std::int64_t first, std::int64_t last);
    void (*deinterleave)(const Shuffle&, const void* samples, void* phases, std::int64_t first, std::int64_t last);

    // The weight as `prepare_minimal` lays it out; no bias: null.
    bool (*minimal)(const Minimal&, const MinimalUnit&, const float* x, const float* weight, const float* bias, float* y);

    // Every panel is read whole before it is written. `false`: there was no memory.
    std::int64_t (*solve_units)(const Solve&);
    bool (*solve)(const Solve&, const void* x, const double* factors, void* y, std::int64_t first, std::int64_t last);
};

const Kernels& kernels_baseline();
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
const Kernels& kernels_avx512_bf16();

}  // namespace upstroke
