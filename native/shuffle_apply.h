// One whole shuffle: numbers from outside become a Shuffle, or an error; threads share it.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace upstroke {

// Lists have one number per axis; sample_strides first that of the channels, and the innermost axis has none.
struct ShuffleNumbers {
    std::int64_t channels;
    std::vector<std::int64_t> cells;
    std::vector<std::int64_t> scale;
    std::int64_t phase_stride;
    std::vector<std::int64_t> sample_strides;
    std::int64_t bytes;
    std::int64_t threads;
};

// Throws BadNumber where a number means nothing, two samples or two phases would share a place, or a place has no 64 bits.
Shuffle checked_shuffle(const ShuffleNumbers& numbers);

void apply_interleave(const Kernels& kernels, const Shuffle& shuffle, void* phases, void* samples);
void apply_deinterleave(const Kernels& kernels, const Shuffle& shuffle, void* phases, void* samples);

}  // namespace upstroke
