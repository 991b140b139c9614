// Samples as they lie in order of cell and phase, into phases: a vector of neighbouring cells for each.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "lanes.h"

namespace upstroke {
namespace {

template <class S, int first, int... i>
UPSTROKE_INLINE Vector<S> every_other(Vector<S> a, Vector<S> b, std::integer_sequence<int, i...>) {
    return UPSTROKE_SHUFFLE(typename VectorOf<S>::index, a, b, (2 * i + first)...);
}

template <class S, int phase, int... i>
UPSTROKE_INLINE Vector<S> every_third(const Vector<S>* samples, std::integer_sequence<int, i...>) {
    using Index = typename VectorOf<S>::index;
    constexpr int n = lanes<S>;
    // Lanes that the first two vectors have, then those of the third.
    const Vector<S> two = UPSTROKE_SHUFFLE(Index, samples[0], samples[1], (3 * i + phase < 2 * n ? 3 * i + phase : 0)...);
    return UPSTROKE_SHUFFLE(Index, two, samples[2], (3 * i + phase < 2 * n ? i : 3 * i + phase - n)...);
}

// In place, `scale` vectors of samples into as many phases; `scale` is a power of two, or three times one.
template <class S, int scale>
UPSTROKE_INLINE void unzip(Vector<S>* samples) {
    using Lane = std::make_integer_sequence<int, lanes<S>>;
    if constexpr (scale == 3) {
        const Vector<S> zero = every_third<S, 0>(samples, Lane()), one = every_third<S, 1>(samples, Lane()),
                        two = every_third<S, 2>(samples, Lane());
        samples[0] = zero;
        samples[1] = one;
        samples[2] = two;
    } else if constexpr (scale > 1) {
        Vector<S> even[scale / 2], odd[scale / 2];
        for (int p = 0; p < scale / 2; ++p) {
            even[p] = every_other<S, 0>(samples[2 * p], samples[2 * p + 1], Lane());
            odd[p] = every_other<S, 1>(samples[2 * p], samples[2 * p + 1], Lane());
        }
        unzip<S, scale / 2>(even);
        unzip<S, scale / 2>(odd);
        for (int p = 0; p < scale / 2; ++p) {
            samples[2 * p] = even[p];
            samples[2 * p + 1] = odd[p];
        }
    }
}

template <int scale, class S>
UPSTROKE_INLINE void load_phases(const S* from, Vector<S>* phases) {
    for (int p = 0; p < scale; ++p) phases[p] = load_vector(from + p * lanes<S>);
    unzip<S, scale>(phases);
}

// Two samples of bfloat16 make one word: words are taken apart first, then each into its two halves.
template <int scale>
UPSTROKE_INLINE void load_phases(const bfloat16* from, Floats* phases) {
    if constexpr (scale % 2 == 0) {
        Floats words[scale / 2];
        for (int p = 0; p < scale / 2; ++p) std::memcpy(&words[p], from + p * 2 * lanes<float>, sizeof words[p]);
        unzip<float, scale / 2>(words);
        for (int p = 0; p < scale / 2; ++p) {
            Bits both;
            std::memcpy(&both, &words[p], sizeof both);
            const Bits lower = both << 16, upper = both & 0xffff0000u;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            std::memcpy(&phases[2 * p], &upper, sizeof upper);
            std::memcpy(&phases[2 * p + 1], &lower, sizeof lower);
#else
            std::memcpy(&phases[2 * p], &lower, sizeof lower);
            std::memcpy(&phases[2 * p + 1], &upper, sizeof upper);
#endif
        }
    } else {
        for (int p = 0; p < scale; ++p) phases[p] = load_vector(from + p * lanes<float>);
        unzip<float, scale>(phases);
    }
}

}  // namespace
}  // namespace upstroke
