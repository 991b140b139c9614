// Phases into the samples of a map, and back: bits are moved, whatever numbers they are.
#pragma once

#include <cstdint>
#include <cstring>

#include "interleave.h"
#include "lanes.h"
#include "shuffle_problem.h"
#include "stream.h"
#include "unzip.h"

namespace upstroke {
namespace {

template <> struct VectorOf<std::uint16_t> {
    typedef std::uint16_t type __attribute__((vector_size(vector_bytes)));
    typedef std::int16_t index __attribute__((vector_size(vector_bytes)));
};

// One line of cells: phase p of cell m at phases[p * stride + m] is sample scale * m + p.
template <class T>
struct Line {
    std::int64_t cells, scale, stride;
};

// Phases of a block: as many as a vector has lanes, where the registers hold them all.
template <class T> constexpr int most_across = lanes<T> < 16 ? lanes<T> : 16;

template <class T>
UPSTROKE_INLINE Vector<T> load_bits(const T* from) {
    Vector<T> bits;
    std::memcpy(&bits, from, sizeof bits);
    return bits;
}

struct Interleave {
    template <class T> using Phases = const T*;
    template <class T> using Samples = T*;

    template <class T>
    static T* written(const T*, T* samples) { return samples; }

    template <class T>
    static void copy(const T* phases, T* samples, std::int64_t count) {
        std::memcpy(samples, phases, static_cast<std::size_t>(count) * sizeof(T));
    }

    template <class T>
    static void one(const T* phase, T* sample) { std::memcpy(sample, phase, sizeof *sample); }

    template <class T, int scale, bool stream>
    UPSTROKE_INLINE static void vectors(const T* phases, std::int64_t stride, T* samples) {
        Vector<T> each[scale];
        for (int p = 0; p < scale; ++p) each[p] = load_bits(phases + p * stride);
        interleave<scale, stream>(each, samples);
    }

    // Some phases of many: `across` of them of a vector of cells.
    template <class T, int across>
    UPSTROKE_INLINE static void block(const T* phases, std::int64_t stride, T* samples, std::int64_t scale) {
        constexpr int pieces = lanes<T> / across;
        Vector<T> each[across];
        for (int p = 0; p < across; ++p) each[p] = load_bits(phases + p * stride);
        zip<T, across>(each);
        for (int m = 0; m < lanes<T>; ++m) {
            const char* const piece = reinterpret_cast<const char*>(&each[m / pieces]) + m % pieces * across * sizeof(T);
            std::memcpy(samples + m * scale, piece, across * sizeof(T));
        }
    }
};

struct Deinterleave {
    template <class T> using Phases = T*;
    template <class T> using Samples = const T*;

    template <class T>
    static T* written(T* phases, const T*) { return phases; }

    template <class T>
    static void copy(T* phases, const T* samples, std::int64_t count) {
        std::memcpy(phases, samples, static_cast<std::size_t>(count) * sizeof(T));
    }

    template <class T>
    static void one(T* phase, const T* sample) { std::memcpy(phase, sample, sizeof *phase); }

    template <class T, int scale, bool stream>
    UPSTROKE_INLINE static void vectors(T* phases, std::int64_t stride, const T* samples) {
        Vector<T> each[scale];
        for (int p = 0; p < scale; ++p) each[p] = load_bits(samples + p * lanes<T>);
        unzip<T, scale>(each);
        for (int p = 0; p < scale; ++p) put_vector<stream>(each[p], phases + p * stride);
    }

    template <class T, int across>
    UPSTROKE_INLINE static void block(T* phases, std::int64_t stride, const T* samples, std::int64_t scale) {
        constexpr int pieces = lanes<T> / across;
        Vector<T> each[across];
        for (int m = 0; m < lanes<T>; ++m) {
            char* const piece = reinterpret_cast<char*>(&each[m / pieces]) + m % pieces * across * sizeof(T);
            std::memcpy(piece, samples + m * scale, across * sizeof(T));
        }
        unzip<T, across>(each);
        for (int p = 0; p < across; ++p) put_vector<false>(each[p], phases + p * stride);
    }
};

// Fewer cells than a vector holds.
template <class Way, class T, int scale>
void short_line(typename Way::template Phases<T> phases, typename Way::template Samples<T> samples, const Line<T>& line) {
    for (std::int64_t m = 0; m < line.cells; ++m) {
        for (int p = 0; p < scale; ++p) Way::template one<T>(phases + p * line.stride + m, samples + m * scale + p);
    }
}

// Any scale of few phases or few cells.
template <class Way, class T>
void line_of_few(typename Way::template Phases<T> phases, typename Way::template Samples<T> samples, const Line<T>& line) {
    // so few cells that their samples stay in the nearest cache from phase to phase
    constexpr std::int64_t some = 64;
    for (std::int64_t first = 0; first < line.cells; first += some) {
        const std::int64_t last = first + some < line.cells ? first + some : line.cells;
        for (std::int64_t p = 0; p < line.scale; ++p) {
            for (std::int64_t m = first; m < last; ++m) {
                Way::template one<T>(phases + p * line.stride + m, samples + m * line.scale + p);
            }
        }
    }
}

// Any scale of many phases, with many cells: blocks of either, the last of which end with the last phase and cell.
template <class Way, class T>
void line_of_blocks(typename Way::template Phases<T> phases, typename Way::template Samples<T> samples, const Line<T>& line) {
    constexpr std::int64_t n = lanes<T>, across = most_across<T>;
    for (std::int64_t m = 0;; m += n) {
        if (m > line.cells - n) m = line.cells - n;
        for (std::int64_t p = 0;; p += across) {
            if (p > line.scale - across) p = line.scale - across;
            Way::template block<T, across>(phases + p * line.stride + m, line.stride, samples + m * line.scale + p, line.scale);
            if (p == line.scale - across) break;
        }
        if (m == line.cells - n) break;
    }
}

template <class Way, class T>
void line_of_any_scale(typename Way::template Phases<T> phases, typename Way::template Samples<T> samples, const Line<T>& line) {
    if (line.scale >= most_across<T> && line.cells >= lanes<T>) return line_of_blocks<Way, T>(phases, samples, line);
    line_of_few<Way, T>(phases, samples, line);
}

template <class Way, class T, int scale, bool stream>
UPSTROKE_INLINE void line_of_vectors(typename Way::template Phases<T> phases, typename Way::template Samples<T> samples, const Line<T>& line) {
    constexpr std::int64_t n = lanes<T>;
    std::int64_t m = 0;
    for (; m + n <= line.cells; m += n) {
        Way::template vectors<T, scale, stream>(phases + m, line.stride, samples + m * scale);
    }
    if (m == line.cells) return;
    // The last vector ends with the last cell: what it has in common with the one before is moved twice.
    m = line.cells - n;
    Way::template vectors<T, scale, false>(phases + m, line.stride, samples + m * scale);
}

template <class Way, class T, int scale>
void line_of_scale(typename Way::template Phases<T> phases, typename Way::template Samples<T> samples, const Line<T>& line, bool past_caches) {
    if (line.cells < lanes<T>) return short_line<Way, T, scale>(phases, samples, line);
    const bool is_aligned = reinterpret_cast<std::uintptr_t>(Way::template written<T>(phases, samples)) % vector_bytes == 0;
    if (past_caches && is_aligned) return line_of_vectors<Way, T, scale, true>(phases, samples, line);
    line_of_vectors<Way, T, scale, false>(phases, samples, line);
}

template <class Way, class T>
UPSTROKE_INLINE void any_line(typename Way::template Phases<T> phases, typename Way::template Samples<T> samples, const Line<T>& line, bool past_caches) {
    switch (line.scale) {
        case 1: return Way::template copy<T>(phases, samples, line.cells);
        case 2: return line_of_scale<Way, T, 2>(phases, samples, line, past_caches);
        case 3: return line_of_scale<Way, T, 3>(phases, samples, line, past_caches);
        case 4: return line_of_scale<Way, T, 4>(phases, samples, line, past_caches);
        case 8: return line_of_scale<Way, T, 8>(phases, samples, line, past_caches);
        default: return line_of_any_scale<Way, T>(phases, samples, line);
    }
}

// Whether so much is written that it need not be in a cache; `between` lines that are written side by side there are so
// many numbers, so that where one of them begins at a vector's place they all do.
template <class T>
bool goes_past_caches(std::int64_t extent, std::int64_t between) {
    // From here on it is faster, even with someone who reads the result right after.
    constexpr std::int64_t enough = std::int64_t{1} << 23;
    constexpr std::int64_t size = sizeof(T);
    return extent >= enough / size && between * size % vector_bytes == 0;
}

template <class Way, class T>
void shuffle_as(const Shuffle& shuffle, typename Way::template Phases<T> phases, typename Way::template Samples<T> samples,
                std::int64_t first, std::int64_t last, bool past_caches) {
    const std::int64_t* const cells = shuffle.cells;
    const std::int64_t* const scale = shuffle.scale;
    const std::int64_t* const stride = shuffle.sample_strides;
    const Line<T> line = {cells[2], scale[2], shuffle.phase_stride};
    for (std::int64_t unit = first; unit < last; ++unit) {
        const std::int64_t m1 = unit % cells[1], m0 = unit / cells[1] % cells[0], channel = unit / cells[1] / cells[0];
        for (std::int64_t p0 = 0; p0 < scale[0]; ++p0) {
            for (std::int64_t p1 = 0; p1 < scale[1]; ++p1) {
                const std::int64_t row = ((channel * scale[0] + p0) * scale[1] + p1) * scale[2];
                any_line<Way, T>(phases + row * shuffle.phase_stride + (m0 * cells[1] + m1) * cells[2],
                                 samples + channel * stride[0] + (m0 * scale[0] + p0) * stride[1] + (m1 * scale[1] + p1) * stride[2],
                                 line, past_caches);
            }
        }
    }
    if (past_caches) end_stream();
}

template <class T>
void interleave_as(const Shuffle& shuffle, const void* phases, void* samples, std::int64_t first, std::int64_t last) {
    const bool past_caches = goes_past_caches<T>(extent_of_samples(shuffle), 0);
    shuffle_as<Interleave, T>(shuffle, static_cast<const T*>(phases), static_cast<T*>(samples), first, last, past_caches);
}

template <class T>
void deinterleave_as(const Shuffle& shuffle, const void* samples, void* phases, std::int64_t first, std::int64_t last) {
    const bool past_caches = goes_past_caches<T>(extent_of_phases(shuffle), shuffle.phase_stride);
    shuffle_as<Deinterleave, T>(shuffle, static_cast<T*>(phases), static_cast<const T*>(samples), first, last, past_caches);
}

// The types are as wide as the numbers; which of that width they are does not matter to bits that are only moved.
void interleave_phases(const Shuffle& shuffle, const void* phases, void* samples, std::int64_t first, std::int64_t last) {
    switch (shuffle.bytes) {
        case 2: return interleave_as<std::uint16_t>(shuffle, phases, samples, first, last);
        case 4: return interleave_as<float>(shuffle, phases, samples, first, last);
        default: return interleave_as<double>(shuffle, phases, samples, first, last);
    }
}

void deinterleave_samples(const Shuffle& shuffle, const void* samples, void* phases, std::int64_t first, std::int64_t last) {
    switch (shuffle.bytes) {
        case 2: return deinterleave_as<std::uint16_t>(shuffle, samples, phases, first, last);
        case 4: return deinterleave_as<float>(shuffle, samples, phases, first, last);
        default: return deinterleave_as<double>(shuffle, samples, phases, first, last);
    }
}

}  // namespace
}  // namespace upstroke
