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

// Two rows of samples of two phases each, and the rows of cells that they meet, read in steps of one vector each.
template <class T>
struct Square {
    const T* samples[2];
    std::int64_t phase_step;
    std::int64_t sample_step;
    const T* cells[3];
    std::int64_t tap_step;
    std::int64_t cell_step;
    std::int64_t count;
};

// to[row][tap of the rows][phase * phase_sums + tap * tap_sums] += samples times cells, for two taps along either axis, those
// of the second phase `stagger` cells further than those of the first: sixteen sums that stay in registers.
template <class T, int stagger_rows, int stagger>
void dots_square(const Square<T>& square, Sum<T>* const (&to)[2][2], std::int64_t phase_sums, std::int64_t tap_sums) {
    using S = Sum<T>;
    Vector<S> values[2][2][2][2];
    for (int row = 0; row < 2; ++row) {
        for (int l = 0; l < 2; ++l) {
            for (int p = 0; p < 2; ++p) {
                for (int k = 0; k < 2; ++k) values[row][l][p][k] = load_vector(to[row][l] + p * phase_sums + k * tap_sums);
            }
        }
    }
    const T *first = square.samples[0], *second = square.samples[1];
    const T* cells[3] = {square.cells[0], square.cells[1], square.cells[2]};
    for (std::int64_t i = 0; i < square.count; ++i) {
        const Vector<S> samples[2][2] = {{load_vector(first), load_vector(first + square.phase_step)},
                                         {load_vector(second), load_vector(second + square.phase_step)}};
        for (int height = 0; height < 2 + stagger_rows; ++height) {
            for (int place = 0; place < 2 + stagger; ++place) {
                const Vector<S> cell = load_vector(cells[height] + place * square.tap_step);
                for (int row = 0; row < 2; ++row) {
                    const int l = height - row * stagger_rows;
                    if (l < 0 || l > 1) continue;
                    for (int p = 0; p < 2; ++p) {
                        const int k = place - p * stagger;
                        if (k >= 0 && k <= 1) values[row][l][p][k] += samples[row][p] * cell;
                    }
                }
            }
            cells[height] += square.cell_step;
        }
        first += square.sample_step;
        second += square.sample_step;
    }
    for (int row = 0; row < 2; ++row) {
        for (int l = 0; l < 2; ++l) {
            for (int p = 0; p < 2; ++p) {
                for (int k = 0; k < 2; ++k) store_vector(values[row][l][p][k], to[row][l] + p * phase_sums + k * tap_sums);
            }
        }
    }
}

// The taps of two phases as two taps of each, the second phase's one cell further or not; what a phase lacks of them is
// summed for nothing. `serves` is false where they need more.
struct PairOfPhases {
    std::int64_t first = 0;
    bool staggered = false;
    bool serves = false;

    PairOfPhases(const Axis& axis, const Range* taps) {
        if (axis.scale != 2) return;
        const std::int64_t one = taps[0].first < taps[0].last ? taps[0].first : taps[1].first;
        const std::int64_t next = taps[1].first < taps[1].last ? taps[1].first : one;
        staggered = next > one;
        first = one < next ? one : next;
        if (first > axis.taps - 2 - staggered) first = axis.taps - 2 - staggered;
        serves = first >= 0;
        for (int p = 0; p < 2; ++p) {
            const std::int64_t begin = first + (p == 1 && staggered ? 1 : 0);
            if (taps[p].first < taps[p].last && (taps[p].first < begin || taps[p].last > begin + 2)) serves = false;
        }
    }
};

template <class T>
void dots(const Square<T>& square, const PairOfPhases& rows, const PairOfPhases& phases, Sum<T>* const (&to)[2][2],
          std::int64_t phase_sums, std::int64_t tap_sums) {
    // where the second phase is a cell further, so are its sums
    const std::int64_t step = phase_sums + (phases.staggered ? tap_sums : 0);
    if (rows.staggered) {
        if (phases.staggered) return dots_square<T, 1, 1>(square, to, step, tap_sums);
        return dots_square<T, 1, 0>(square, to, step, tap_sums);
    }
    if (phases.staggered) return dots_square<T, 0, 1>(square, to, step, tap_sums);
    return dots_square<T, 0, 0>(square, to, step, tap_sums);
}

}  // namespace
}  // namespace upstroke
