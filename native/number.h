// Numbers as they lie in memory, and as sums are kept: bfloat16 is read into and rounded from float32.
#pragma once

#include <cstdint>
#include <cstring>

namespace upstroke {
namespace {

struct bfloat16 {
    std::uint16_t bits;
};

template <class T> struct SumOf { using type = T; };
template <> struct SumOf<bfloat16> { using type = float; };
template <class T> using Sum = typename SumOf<T>::type;

inline float load(float value) { return value; }
inline double load(double value) { return value; }
inline float load(bfloat16 value) {
    const std::uint32_t wide = static_cast<std::uint32_t>(value.bits) << 16;
    float number;
    std::memcpy(&number, &wide, sizeof number);
    return number;
}

inline void store(float value, float& place) { place = value; }
inline void store(double value, double& place) { place = value; }
// To the nearest, ties to even, as PyTorch rounds; a NaN stays one.
inline void store(float value, bfloat16& place) {
    std::uint32_t wide;
    std::memcpy(&wide, &value, sizeof wide);
    const std::uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;
    const bool is_nan = (wide & 0x7fffffffu) > 0x7f800000u;
    place.bits = static_cast<std::uint16_t>(is_nan ? 0x7fc0u : rounded);
}

}  // namespace
}  // namespace upstroke
