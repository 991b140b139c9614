// As many numbers as one register of these instructions holds, kept together so that sums stay in registers.
#pragma once

#include <cstdint>
#include <cstring>

#include "number.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#define UPSTROKE_INLINE inline __attribute__((always_inline))

// Lanes of two vectors, those of the second counted on after those of the first, in the order of the numbers given.
#if defined(__clang__)
#define UPSTROKE_SHUFFLE(index, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define UPSTROKE_SHUFFLE(index, a, b, ...) __builtin_shuffle(a, b, index{__VA_ARGS__})
#endif

namespace upstroke {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

// GCC and Clang keep an array of these in registers through a loop; of an array of plain numbers they do not.
template <class S> struct VectorOf;
template <> struct VectorOf<float> {
    typedef float type __attribute__((vector_size(vector_bytes)));
    typedef std::int32_t index __attribute__((vector_size(vector_bytes)));
};
template <> struct VectorOf<double> {
    typedef double type __attribute__((vector_size(vector_bytes)));
    typedef std::int64_t index __attribute__((vector_size(vector_bytes)));
};
template <class S> using Vector = typename VectorOf<S>::type;
template <class S> constexpr int lanes = vector_bytes / static_cast<int>(sizeof(S));

typedef Vector<float> Floats;
typedef std::uint32_t Bits __attribute__((vector_size(vector_bytes)));
typedef std::uint16_t Halves __attribute__((vector_size(vector_bytes / 2)));

template <class S>
UPSTROKE_INLINE Vector<S> all(S value) {
    return value - Vector<S>{};
}

UPSTROKE_INLINE Floats load_vector(const float* from) {
    Floats value;
    std::memcpy(&value, from, sizeof value);
    return value;
}
UPSTROKE_INLINE Vector<double> load_vector(const double* from) {
    Vector<double> value;
    std::memcpy(&value, from, sizeof value);
    return value;
}
UPSTROKE_INLINE Floats load_vector(const bfloat16* from) {
    Halves halves;
    std::memcpy(&halves, from, sizeof halves);
    const Bits wide = __builtin_convertvector(halves, Bits) << 16;
    Floats value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

// Rounded as `store` rounds; the lower half of every lane is of no meaning.
UPSTROKE_INLINE Bits rounded_to_upper_half(Floats value) {
    Bits wide;
    std::memcpy(&wide, &value, sizeof wide);
    const Bits rounded = wide + 0x7fffu + ((wide >> 16) & 1u);
    const Bits nan = Bits{} + 0x7fc00000u;
    return value == value ? rounded : nan;
}

// Rounded as `store` rounds. The instruction does the same in one step, but for numbers below 1e-38, which it takes for zero.
UPSTROKE_INLINE Halves rounded(Floats value) {
#if defined(__AVX512BF16__)
    __m512 wide;
    std::memcpy(&wide, &value, sizeof wide);
    const __m256bh narrow = _mm512_cvtneps_pbh(wide);
    Halves halves;
    std::memcpy(&halves, &narrow, sizeof halves);
    return halves;
#else
    return __builtin_convertvector(rounded_to_upper_half(value) >> 16, Halves);
#endif
}

UPSTROKE_INLINE void store_vector(Floats value, float* to) { std::memcpy(to, &value, sizeof value); }
UPSTROKE_INLINE void store_vector(Vector<double> value, double* to) { std::memcpy(to, &value, sizeof value); }
UPSTROKE_INLINE void store_vector(Floats value, bfloat16* to) {
    const Halves halves = rounded(value);
    std::memcpy(to, &halves, sizeof halves);
}

}  // namespace
}  // namespace upstroke
