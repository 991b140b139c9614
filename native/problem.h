// The numbers of one call: an upsampler that treats every channel by itself, and the map it is applied to.
#pragma once

#include <cstdint>

namespace upstroke {

enum class Border : int { zero = 0, clamp = 1, circular = 2 };
enum class Number : int { float32 = 0, float64 = 1, bfloat16 = 2 };

constexpr int most_axes = 3;

// Sample n = scale * m + p reads cells m + k - origin, k from 0 to taps - 1.
struct Axis {
    std::int64_t cells;    // of the input, at least 1
    std::int64_t samples;  // of the output, scale * cells + excess, at least 1
    std::int64_t scale;    // at least 1
    std::int64_t taps;     // of one phase, at least 1
    std::int64_t origin;   // may lie outside 0 .. taps - 1
    Border border;
};

// x is (batch, channels, *cells), y is (batch, channels, *samples); both with the channels either
// outside or innermost in memory, without gaps. taps is (phases, tap_channels, *taps) without gaps, phases in C order.
struct Problem {
    std::int64_t batch;
    std::int64_t channels;
    std::int64_t tap_channels;  // channels, or 1 where one kernel serves all
    int axes;                   // 1 to 3; the last is the innermost in memory but for the channels
    Axis axis[most_axes];
    bool channels_last;
    Number number;  // of x and y; taps are float64 for float64, else float32, and so are all sums
    int threads;    // at most so many work at once
};

}  // namespace upstroke
