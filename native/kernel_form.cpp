#include "kernel_form.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "checked.h"

namespace upstroke {
namespace {

using Places = std::vector<std::int64_t>;

// Where number i of an axis of the kernel is in the taps: from one phase to the next, from one tap to the next.
Places places_of(const Axis& axis, std::int64_t phase_step, std::int64_t tap_step) {
    Places places;
    for (std::int64_t i = 0; i < axis.length; ++i) {
        const std::int64_t cells = floor_divided(i - axis.crop, axis.scale);
        const std::int64_t phase = i - axis.crop - cells * axis.scale;
        places.push_back(phase * phase_step + (axis.origin - cells) * tap_step);
    }
    return places;
}

// visit(number of the kernel, its place in the taps), in the order of the kernel.
template <class Visit>
void for_each_number(const Problem& problem, const Visit& visit) {
    Places places[most_axes] = {{0}, {0}, {0}};
    std::int64_t taps = 1;
    for (int a = 0; a < problem.axes; ++a) taps *= problem.axis[a].taps;
    std::int64_t phase_step = problem.tap_channels * taps, tap_step = 1;
    for (int a = problem.axes - 1; a >= 0; --a) {
        places[a + most_axes - problem.axes] = places_of(problem.axis[a], phase_step, tap_step);
        phase_step *= problem.axis[a].scale;
        tap_step *= problem.axis[a].taps;
    }
    std::int64_t number = 0;
    for (std::int64_t c = 0; c < problem.tap_channels; ++c) {
        for (const std::int64_t depth : places[0]) {
            for (const std::int64_t height : places[1]) {
                for (const std::int64_t width : places[2]) visit(number++, c * taps + depth + height + width);
            }
        }
    }
}

template <class S>
void spread(const Problem& problem, const S* kernel, S* taps) {
    std::fill_n(taps, elements_of_taps(problem), S(0));
    for_each_number(problem, [&](std::int64_t number, std::int64_t place) { taps[place] = kernel[number]; });
}

template <class S>
void collect(const Problem& problem, const double* taps, S* kernel) {
    for_each_number(problem, [&](std::int64_t number, std::int64_t place) { kernel[number] = static_cast<S>(taps[place]); });
}

}  // namespace

void taps_of_kernel(const Problem& problem, const float* kernel, float* taps) { spread(problem, kernel, taps); }
void taps_of_kernel(const Problem& problem, const double* kernel, double* taps) { spread(problem, kernel, taps); }
void kernel_of_taps(const Problem& problem, const double* taps, float* kernel) { collect(problem, taps, kernel); }
void kernel_of_taps(const Problem& problem, const double* taps, double* kernel) { collect(problem, taps, kernel); }

}  // namespace upstroke
