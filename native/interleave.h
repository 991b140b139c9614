// Phases, a vector of neighbouring cells each, into the samples of these cells, which lie in order of cell and phase.
#pragma once

#include <cstdint>
#include <utility>

#include "lanes.h"
#include "stream.h"

namespace upstroke {
namespace {

template <class S, int... i>
UPSTROKE_INLINE Vector<S> zip_lower(Vector<S> a, Vector<S> b, std::integer_sequence<int, i...>) {
    return UPSTROKE_SHUFFLE(typename VectorOf<S>::index, a, b, (i / 2 + i % 2 * lanes<S>)...);
}
template <class S, int... i>
UPSTROKE_INLINE Vector<S> zip_upper(Vector<S> a, Vector<S> b, std::integer_sequence<int, i...>) {
    return UPSTROKE_SHUFFLE(typename VectorOf<S>::index, a, b, (lanes<S> / 2 + i / 2 + i % 2 * lanes<S>)...);
}

// In place; `scale` is a power of two. Even and odd phases are interleaved first, then these two with each other.
template <class S, int scale>
UPSTROKE_INLINE void zip(Vector<S>* phases) {
    if constexpr (scale > 1) {
        using Lane = std::make_integer_sequence<int, lanes<S>>;
        Vector<S> even[scale / 2], odd[scale / 2];
        for (int p = 0; p < scale / 2; ++p) {
            even[p] = phases[2 * p];
            odd[p] = phases[2 * p + 1];
        }
        zip<S, scale / 2>(even);
        zip<S, scale / 2>(odd);
        for (int p = 0; p < scale / 2; ++p) {
            phases[2 * p] = zip_lower<S>(even[p], odd[p], Lane());
            phases[2 * p + 1] = zip_upper<S>(even[p], odd[p], Lane());
        }
    }
}

template <class S, int part, int... i>
UPSTROKE_INLINE Vector<S> part_of_three(const Vector<S>* phases, std::integer_sequence<int, i...>) {
    using Index = typename VectorOf<S>::index;
    constexpr int start = part * lanes<S>;
    // Lanes of phases 0 and 1 where they belong, then those of phase 2 between them.
    const Vector<S> two = UPSTROKE_SHUFFLE(Index, phases[0], phases[1],
                                           ((start + i) % 3 == 2 ? 0 : (start + i) / 3 + (start + i) % 3 * lanes<S>)...);
    return UPSTROKE_SHUFFLE(Index, two, phases[2], ((start + i) % 3 == 2 ? lanes<S> + (start + i) / 3 : i)...);
}

template <class S, int scale>
UPSTROKE_INLINE void in_order(Vector<S>* phases) {
    if constexpr (scale == 3) {
        using Lane = std::make_integer_sequence<int, lanes<S>>;
        const Vector<S> first = part_of_three<S, 0>(phases, Lane());
        const Vector<S> second = part_of_three<S, 1>(phases, Lane());
        phases[2] = part_of_three<S, 2>(phases, Lane());
        phases[0] = first;
        phases[1] = second;
    } else {
        zip<S, scale>(phases);
    }
}

// Writes scale * lanes samples; overwrites the phases.
template <int scale, bool stream, class S>
UPSTROKE_INLINE void interleave(Vector<S>* phases, S* to) {
    in_order<S, scale>(phases);
    for (int p = 0; p < scale; ++p) put_vector<stream>(phases[p], to + p * lanes<S>);
}

// Words of two samples of bfloat16: one of each phase.
UPSTROKE_INLINE Floats pairs_of(Floats first, Floats second) {
    Floats words;
#if defined(__AVX512BF16__)
    __m512 a, b;
    std::memcpy(&a, &first, sizeof a);
    std::memcpy(&b, &second, sizeof b);
    const __m512bh beside = _mm512_cvtne2ps_pbh(b, a);
    __m512i halves;
    std::memcpy(&halves, &beside, sizeof halves);
    const __m512i in_order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20,
                                              4, 19, 3, 18, 2, 17, 1, 16, 0);
    halves = _mm512_permutexvar_epi16(in_order, halves);
    std::memcpy(&words, &halves, sizeof words);
#else
    const Bits one = rounded_to_upper_half(first), two = rounded_to_upper_half(second);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    const Bits both = (one & 0xffff0000u) | (two >> 16);
#else
    const Bits both = (one >> 16) | (two & 0xffff0000u);
#endif
    std::memcpy(&words, &both, sizeof both);
#endif
    return words;
}

// Two samples of bfloat16 make one word, so pairs of phases are put together first and words interleaved then.
template <int scale, bool stream>
UPSTROKE_INLINE void interleave(Floats* phases, bfloat16* to) {
    if constexpr (scale % 2 == 0) {
        Floats words[scale / 2];
        for (int p = 0; p < scale / 2; ++p) words[p] = pairs_of(phases[2 * p], phases[2 * p + 1]);
        zip<float, scale / 2>(words);
        for (int p = 0; p < scale / 2; ++p) put_bytes<stream>(words[p], to + p * 2 * lanes<float>);
    } else {
        in_order<float, scale>(phases);
        for (int p = 0; p < scale; ++p) put_vector<stream>(phases[p], to + p * lanes<float>);
    }
}

}  // namespace
}  // namespace upstroke
