// Gradient in x: every cell gathers the samples that read it, each times its tap, so that no two threads write one cell.
#pragma once

#include <cstdint>

#include "adjoint_channels.h"
#include "adjoint_lines.h"
#include "adjoint_planar.h"
#include "kernels.h"
#include "lanes.h"
#include "problem.h"
#include "volume.h"

namespace upstroke {
namespace {

// Channels lie together and are at least as many as a vector holds.
inline bool channels_are_vectors(const Problem& problem) {
    const std::int64_t bytes = problem.number == Number::float64 ? 8 : 4;
    return cells_are_vectors(problem) && problem.channels * bytes >= vector_bytes;
}

// Cells along the first axis, or segments where that is also the last and lines are as long as it.
inline std::int64_t adjoint_units(const Problem& problem) {
    const Volume volume = volume_of(problem);
    const std::int64_t cells = volume.axis[volume.first_axis].cells;
    if (volume.first_axis < 2 || channels_are_vectors(problem)) return volume.planes * cells;
    return volume.planes * segments_of(cells);
}

template <class T>
bool adjoint_of(const Problem& problem, const void* y, const void* taps, void* x, std::int64_t first, std::int64_t last) {
    const T* const from = static_cast<const T*>(y);
    const Sum<T>* const weights = static_cast<const Sum<T>*>(taps);
    T* const to = static_cast<T*>(x);
    if (channels_are_vectors(problem)) return AdjointChannels<T>(problem, from, weights, to).run(first, last);
    AdjointPlanar<T> planar(problem, from, weights, to);
    if (planar.pays()) return planar.run(first, last);
    return AdjointLines<T>(problem, from, weights, to).run(first, last);
}

inline bool adjoint(const Problem& problem, const void* y, const void* taps, void* x, std::int64_t first, std::int64_t last) {
    switch (problem.number) {
        case Number::float64: return adjoint_of<double>(problem, y, taps, x, first, last);
        case Number::bfloat16: return adjoint_of<bfloat16>(problem, y, taps, x, first, last);
        default: return adjoint_of<float>(problem, y, taps, x, first, last);
    }
}

}  // namespace
}  // namespace upstroke
