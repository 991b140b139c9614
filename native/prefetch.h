// Memory that is wanted soon: rows are too short, and too many at once, for the machine to see what comes next.
#pragma once

#include <cstdint>

#include "lanes.h"

namespace upstroke {
namespace {

// As a number, because the next row may lie beyond the map, where a pointer must not point; nothing is read there.
template <class T>
UPSTROKE_INLINE std::uintptr_t address_of(const T* place) {
    return reinterpret_cast<std::uintptr_t>(place);
}

UPSTROKE_INLINE void prefetch(std::uintptr_t from, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(reinterpret_cast<const void*>(from + static_cast<std::uintptr_t>(i)));
    }
}

// Where a map of that size is, or larger, few of its numbers are in the second cache when they are wanted.
constexpr std::int64_t far_bytes = std::int64_t{1} << 23;

// Into the second cache, which waits for more lines at once than the first.
UPSTROKE_INLINE void prefetch_far(std::uintptr_t from, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(reinterpret_cast<const void*>(from + static_cast<std::uintptr_t>(i)), 0, 2);
    }
}

}  // namespace
}  // namespace upstroke
