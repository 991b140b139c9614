// Products of samples and cells, summed lane by lane: where the gradient in the taps spends its time.
#pragma once

#include <cstdint>

#include "lanes.h"
#include "number.h"

namespace upstroke {
namespace {

// Two lines read in steps of one vector each: samples of several phases, and cells for several taps.
template <class T>
struct Steps {
    const T* samples;
    std::int64_t phase_step;   // from a phase's samples to those of the next
    std::int64_t sample_step;  // from one step to the next
    const T* cells;
    std::int64_t tap_step;
    std::int64_t cell_step;
    std::int64_t count;
};

// sums[p * row + k * step] += samples of phase p times cells of tap k, over all steps.
template <class T, int phases, int taps>
UPSTROKE_INLINE void dots_block(const Steps<T>& steps, Sum<T>* sums, std::int64_t row, std::int64_t step) {
    using S = Sum<T>;
    Vector<S> values[phases][taps];
    for (int p = 0; p < phases; ++p) {
        for (int k = 0; k < taps; ++k) values[p][k] = load_vector(sums + p * row + k * step);
    }
    const T* samples = steps.samples;
    const T* cells = steps.cells;
    for (std::int64_t i = 0; i < steps.count; ++i) {
        Vector<S> sample[phases];
        for (int p = 0; p < phases; ++p) sample[p] = load_vector(samples + p * steps.phase_step);
        for (int k = 0; k < taps; ++k) {
            const Vector<S> cell = load_vector(cells + k * steps.tap_step);
            for (int p = 0; p < phases; ++p) values[p][k] += sample[p] * cell;
        }
        samples += steps.sample_step;
        cells += steps.cell_step;
    }
    for (int p = 0; p < phases; ++p) {
        for (int k = 0; k < taps; ++k) store_vector(values[p][k], sums + p * row + k * step);
    }
}

template <class T, int phases>
void dots_of_phases(Steps<T> steps, std::int64_t taps, Sum<T>* sums, std::int64_t row, std::int64_t step) {
    while (taps > 0) {
        const std::int64_t some = taps == 4 ? 2 : taps < 3 ? taps : 3;
        switch (some) {
            case 1: dots_block<T, phases, 1>(steps, sums, row, step); break;
            case 2: dots_block<T, phases, 2>(steps, sums, row, step); break;
            default: dots_block<T, phases, 3>(steps, sums, row, step); break;
        }
        steps.cells += some * steps.tap_step;
        sums += some * step;
        taps -= some;
    }
}

template <class T>
void dots(Steps<T> steps, std::int64_t phases, std::int64_t taps, Sum<T>* sums, std::int64_t row, std::int64_t step) {
    for (; phases >= 2; phases -= 2) {
        dots_of_phases<T, 2>(steps, taps, sums, row, step);
        steps.samples += 2 * steps.phase_step;
        sums += 2 * row;
    }
    if (phases > 0) dots_of_phases<T, 1>(steps, taps, sums, row, step);
}

}  // namespace
}  // namespace upstroke
