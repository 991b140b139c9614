// One whole transposed convolution by minimal filtering: numbers from outside become a Minimal, or an error; units are shared.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"
#include "minimal_problem.h"

namespace upstroke {

// Lists have two numbers, one per axis.
struct MinimalNumbers {
    std::int64_t batch;
    std::int64_t channels;
    std::int64_t out;
    std::vector<std::int64_t> cells;
    std::vector<std::int64_t> samples;
    std::vector<std::int64_t> scale;
    std::vector<std::int64_t> kernel;
    std::vector<std::int64_t> padding;
    bool channels_last;
    std::int64_t threads;
};

// Throws BadNumber where a number means nothing, a phase has more than `most_taps` taps, or a place has no 64 bits.
Minimal checked_minimal(const MinimalNumbers& numbers);

// Numbers that the prepared weight of a problem has.
std::int64_t prepared_size(const Minimal& problem);

// Prepares a weight (channels, out, *kernel) without gaps; the maps' sizes do not matter.
void prepare_minimal(const Minimal& problem, const float* weight, float* prepared);

// False: there was no memory.
bool apply_minimal(const Kernels& kernels, const Minimal& problem, const float* x, const float* prepared, const float* bias, float* y);

}  // namespace upstroke
