// Products of samples and cells, summed lane by lane: where the gradient in the taps spends its time.
#pragma once

#include <cstdint>

#include "lanes.h"
#include "number.h"
#include "problem.h"

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

// of_first[k * step] += samples of a phase times cells of tap k, for taps 0 to taps - 1, and of_second[k * step] += those of the
// next phase times cells of tap k + stagger, over all steps. Cells that both phases meet are read once.
template <class T, int phases, int taps, int stagger>
UPSTROKE_INLINE void dots_block(const Steps<T>& steps, Sum<T>* of_first, Sum<T>* of_second, std::int64_t step) {
    using S = Sum<T>;
    constexpr int places = taps + (phases - 1) * stagger;
    S* const to[2] = {of_first, of_second};
    Vector<S> values[phases][taps];
    for (int p = 0; p < phases; ++p) {
        for (int k = 0; k < taps; ++k) values[p][k] = load_vector(to[p] + k * step);
    }
    const T* samples = steps.samples;
    const T* cells = steps.cells;
    for (std::int64_t i = 0; i < steps.count; ++i) {
        Vector<S> sample[phases];
        for (int p = 0; p < phases; ++p) sample[p] = load_vector(samples + p * steps.phase_step);
        for (int place = 0; place < places; ++place) {
            const Vector<S> cell = load_vector(cells + place * steps.tap_step);
            for (int p = 0; p < phases; ++p) {
                const int k = place - p * stagger;
                if (k >= 0 && k < taps) values[p][k] += sample[p] * cell;
            }
        }
        samples += steps.sample_step;
        cells += steps.cell_step;
    }
    for (int p = 0; p < phases; ++p) {
        for (int k = 0; k < taps; ++k) store_vector(values[p][k], to[p] + k * step);
    }
}

// As many taps at a time as have their sums in registers; cells are those of the first phase's first tap.
template <class T, int phases, int stagger>
void dots_of_phases(Steps<T> steps, std::int64_t taps, Sum<T>* of_first, Sum<T>* of_second, std::int64_t step) {
    while (taps > 0) {
        const std::int64_t some = taps == 5 ? 3 : taps < 4 ? taps : 4;
        switch (some) {
            case 1: dots_block<T, phases, 1, stagger>(steps, of_first, of_second, step); break;
            case 2: dots_block<T, phases, 2, stagger>(steps, of_first, of_second, step); break;
            case 3: dots_block<T, phases, 3, stagger>(steps, of_first, of_second, step); break;
            default: dots_block<T, phases, 4, stagger>(steps, of_first, of_second, step); break;
        }
        steps.cells += some * steps.tap_step;
        of_first += some * step;
        of_second += some * step;
        taps -= some;
    }
}

// sums[p * row + k * step] += samples of phase p times cells of tap k, over all steps and all taps k that phase p has.
template <class T>
void dots(Steps<T> steps, std::int64_t phases, const Range* taps, Sum<T>* sums, std::int64_t row, std::int64_t step) {
    const T* const cells = steps.cells;
    for (std::int64_t p = 0; p < phases;) {
        const Range one = taps[p], next = taps[p + 1 < phases ? p + 1 : p];
        const std::int64_t count = one.last - one.first, stagger = next.first - one.first;
        const bool pairs = p + 1 < phases && next.last - next.first == count && (stagger == 0 || stagger == 1);
        steps.cells = cells + one.first * steps.tap_step;
        Sum<T>* const of_first = sums + p * row + one.first * step;
        Sum<T>* const of_second = of_first + row + stagger * step;
        if (!pairs) {
            dots_of_phases<T, 1, 0>(steps, count, of_first, of_first, step);
        } else if (stagger == 0) {
            dots_of_phases<T, 2, 0>(steps, count, of_first, of_second, step);
        } else {
            dots_of_phases<T, 2, 1>(steps, count, of_first, of_second, step);
        }
        p += pairs ? 2 : 1;
        steps.samples += (pairs ? 2 : 1) * steps.phase_step;
    }
}

}  // namespace
}  // namespace upstroke
