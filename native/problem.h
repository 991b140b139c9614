// The numbers of one call: an upsampler that treats every channel by itself, and the map it is applied to.
#pragma once

#include <cstdint>

namespace upstroke {

enum class Border : int { zero = 0, clamp = 1, circular = 2 };
enum class Number : int { float32 = 0, float64 = 1, bfloat16 = 2 };

constexpr int most_axes = 3;

// Cell m draws its kernel, number i of it on sample n = scale * m + i - crop. Seen from the samples, n = scale * m + p reads
// the cells m + k - origin, k from 0 to taps - 1, by number p + crop + scale * (origin - k) of the kernel where that is one.
struct Axis {
    std::int64_t cells;    // of the input, at least 1
    std::int64_t samples;  // of the output, scale * cells + excess, at least 1
    std::int64_t scale;    // at least 1
    std::int64_t length;   // of the kernel, at least 1
    std::int64_t crop;     // may lie outside 0 .. length - 1
    Border border;
    std::int64_t taps;    // as many for every phase as reach all of the kernel
    std::int64_t origin;  // as far as they reach beyond the cell that owns the sample
};

inline std::int64_t floor_divided(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

inline Axis axis_of(std::int64_t cells, std::int64_t samples, std::int64_t scale, std::int64_t length, std::int64_t crop,
                    Border border) {
    const std::int64_t first = floor_divided(-crop, scale), last = floor_divided(length - 1 - crop, scale);
    return Axis{cells, samples, scale, length, crop, border, last - first + 1, last};
}

// Of the taps of one phase those that the kernel has: from `first` up to but without `last`.
struct Range {
    std::int64_t first, last;
};

inline Range taps_of_phase(const Axis& axis, std::int64_t phase) {
    const std::int64_t from = phase + axis.crop;
    return {axis.origin - floor_divided(axis.length - 1 - from, axis.scale), axis.origin + floor_divided(from, axis.scale) + 1};
}

// x is (batch, channels, *cells), y is (batch, channels, *samples); both with the channels either
// outside or innermost in memory, without gaps. Kernels are (tap_channels, *length) without gaps; as taps, (phases, tap_channels,
// *taps) with the phases in C order, they have zeros where the kernel has no number.
struct Problem {
    std::int64_t batch;
    std::int64_t channels;
    std::int64_t tap_channels;  // channels, or 1 where one kernel serves all
    int axes;                   // 1 to 3; the last is the innermost in memory but for the channels
    Axis axis[most_axes];
    bool channels_last;
    Number number;  // of x and y; kernels, taps and bias are float64 for float64, else float32, and so are all sums
    int threads;    // at most so many work at once
};

}  // namespace upstroke
