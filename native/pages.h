// Memory that is about to be written whole, in large pages where the system has them on offer.
#pragma once

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace upstroke {

// A large map is fresh from the system, which hands it over page by page as it is first written: with pages of 4 kB that
// takes several times as long as the upsampling, with pages of 2 MB a quarter of that. Only pages that lie within
// the map are asked for, so it takes no more memory. Where the pages are there already, this changes nothing.
inline void expect_writes(void* start, std::int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr std::uintptr_t page = std::uintptr_t{1} << 21;
    constexpr std::int64_t worth_asking = std::int64_t{1} << 23;
    if (bytes < worth_asking) return;
    const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(start);
    const std::uintptr_t first = (from + page - 1) / page * page;
    const std::uintptr_t last = (from + static_cast<std::uintptr_t>(bytes)) / page * page;
    // a hint: where the system declines it, the pages stay small
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
    (void)start;
    (void)bytes;
#endif
}

}  // namespace upstroke
