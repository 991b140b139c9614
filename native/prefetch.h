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

}  // namespace
}  // namespace upstroke
