// Vectors to memory past the caches, where the instructions have that.
#pragma once

#include <cstring>

#include "lanes.h"
#include "number.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace upstroke {
namespace {

// Where an output is larger than the caches, what lies at a place need not be read before it is overwritten. Places must be
// multiples of the vector's size; `end_stream` comes before anyone else reads.
template <bool past_caches, class V>
UPSTROKE_INLINE void put_bytes(V vector, void* to) {
#if defined(__AVX512F__)
    if constexpr (past_caches && sizeof(V) == 64) {
        __m512i bytes;
        std::memcpy(&bytes, &vector, sizeof bytes);
        return _mm512_stream_si512(static_cast<__m512i*>(to), bytes);
    }
#endif
#if defined(__AVX__)
    if constexpr (past_caches && sizeof(V) == 32) {
        __m256i bytes;
        std::memcpy(&bytes, &vector, sizeof bytes);
        return _mm256_stream_si256(static_cast<__m256i*>(to), bytes);
    }
#endif
#if defined(__SSE2__)
    if constexpr (past_caches && sizeof(V) == 16) {
        __m128i bytes;
        std::memcpy(&bytes, &vector, sizeof bytes);
        return _mm_stream_si128(static_cast<__m128i*>(to), bytes);
    }
#endif
    std::memcpy(to, &vector, sizeof vector);
}

template <bool past_caches, class S>
UPSTROKE_INLINE void put_vector(Vector<S> vector, S* to) {
    put_bytes<past_caches>(vector, to);
}
template <bool past_caches>
UPSTROKE_INLINE void put_vector(Floats vector, bfloat16* to) {
    put_bytes<past_caches>(rounded(vector), to);
}

inline void end_stream() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

}  // namespace
}  // namespace upstroke
