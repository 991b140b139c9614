// Gradient in the taps: every sample times every cell that it reads, summed over the map and the batch.
#pragma once

#include <cstdint>

#include "adjoint.h"
#include "kernels.h"
#include "problem.h"
#include "taps_channels.h"
#include "taps_lines.h"
#include "volume.h"

namespace upstroke {
namespace {

// Cells along the first axis that own samples, or segments where that is also the last and lines are as long as it.
inline std::int64_t taps_gradient_units(const Problem& problem) {
    const Volume volume = volume_of(problem);
    const std::int64_t owners = sampled_cells(volume.axis[volume.first_axis]);
    if (volume.first_axis < 2 || channels_are_vectors(problem)) return volume.planes * owners;
    return volume.planes * owner_segments(owners);
}

template <class T>
bool taps_gradient_of(const Problem& problem, const void* y, const void* x, double* sums, std::int64_t first, std::int64_t last) {
    const T* const samples = static_cast<const T*>(y);
    const T* const cells = static_cast<const T*>(x);
    if (channels_are_vectors(problem)) return TapsChannels<T>(problem, samples, cells, sums).run(first, last);
    return TapsLines<T>(problem, samples, cells, sums).run(first, last);
}

inline bool taps_gradient(const Problem& problem, const void* y, const void* x, double* sums, std::int64_t first, std::int64_t last) {
    switch (problem.number) {
        case Number::float64: return taps_gradient_of<double>(problem, y, x, sums, first, last);
        case Number::bfloat16: return taps_gradient_of<bfloat16>(problem, y, x, sums, first, last);
        default: return taps_gradient_of<float>(problem, y, x, sums, first, last);
    }
}

}  // namespace
}  // namespace upstroke
