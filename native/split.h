// A row of samples into its phases: one line each, of neighbouring cells.
#pragma once

#include <cstdint>

#include "lanes.h"
#include "number.h"
#include "unzip.h"

namespace upstroke {
namespace {

template <class T, int scale>
void split_cells(const T* from, std::int64_t cells, std::int64_t size, Sum<T>* to) {
    constexpr int n = lanes<Sum<T>>;
    std::int64_t m = 0;
    for (; m + n <= cells; m += n) {
        Vector<Sum<T>> phases[scale];
        load_phases<scale>(from + m * scale, phases);
        for (int p = 0; p < scale; ++p) store_vector(phases[p], to + p * size + m);
    }
    for (; m < cells; ++m) {
        for (int p = 0; p < scale; ++p) to[p * size + m] = load(from[m * scale + p]);
    }
}

template <class T>
void split_phase(const T* __restrict from, std::int64_t step, std::int64_t cells, Sum<T>* __restrict to) {
#pragma GCC ivdep
    for (std::int64_t m = 0; m < cells; ++m) to[m] = load(from[m * step]);
}

// Samples lie `step` numbers apart and begin with phase 0. Every line is `size` numbers long: `zeros` of them, its
// samples, and zeros.
template <class T>
void split(const T* from, std::int64_t step, std::int64_t scale, std::int64_t samples, std::int64_t zeros, std::int64_t size,
           Sum<T>* to) {
    const std::int64_t cells = samples / scale;
    switch (step == 1 ? scale : 0) {
        case 1: split_cells<T, 1>(from, cells, size, to + zeros); break;
        case 2: split_cells<T, 2>(from, cells, size, to + zeros); break;
        case 3: split_cells<T, 3>(from, cells, size, to + zeros); break;
        case 4: split_cells<T, 4>(from, cells, size, to + zeros); break;
        case 6: split_cells<T, 6>(from, cells, size, to + zeros); break;
        case 8: split_cells<T, 8>(from, cells, size, to + zeros); break;
        case 12: split_cells<T, 12>(from, cells, size, to + zeros); break;
        default:
            for (std::int64_t p = 0; p < scale; ++p) split_phase(from + p * step, scale * step, cells, to + p * size + zeros);
    }
    for (std::int64_t p = 0; p < scale; ++p) {
        Sum<T>* const line = to + p * size;
        std::int64_t end = zeros + cells;
        if (cells * scale + p < samples) line[end++] = load(from[(cells * scale + p) * step]);
        for (std::int64_t m = 0; m < zeros; ++m) line[m] = 0;
        for (std::int64_t m = end; m < size; ++m) line[m] = 0;
    }
}

}  // namespace
}  // namespace upstroke
