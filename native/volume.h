// A problem of 1 to 3 axes as one of 3, cut into the pieces that kernels work on.
#pragma once

#include <cstdint>

#include "problem.h"

namespace upstroke {
namespace {

struct Volume {
    Axis axis[3];            // depth, height, width; what a problem lacks has one cell, one sample and one tap
    int first_axis;          // of those the problem has
    std::int64_t planes;     // that lie one after the other in x and y
    std::int64_t width;      // numbers of one cell of a plane: 1, or the channels where they are innermost
    std::int64_t cells_out;  // cells of the last axis that own samples
    std::int64_t tile;       // cells of the last axis that are worked on at once
    std::int64_t tiles;
};

// One channel lies the same in either layout, and lines of neighbouring cells are the faster way.
inline bool cells_are_vectors(const Problem& problem) { return problem.channels_last && problem.channels > 1; }

inline Volume volume_of(const Problem& problem) {
    Volume volume;
    volume.first_axis = 3 - problem.axes;
    for (int a = 0; a < 3; ++a) {
        volume.axis[a] = a < volume.first_axis ? axis_of(1, 1, 1, 1, 0, Border::zero) : problem.axis[a - volume.first_axis];
    }
    volume.width = cells_are_vectors(problem) ? problem.channels : 1;
    volume.planes = problem.batch * (problem.channels / volume.width);
    const Axis& last = volume.axis[2];
    volume.cells_out = (last.samples + last.scale - 1) / last.scale;
    // Where a cell has few numbers, a few lines stay in the first cache. With more, rows are long, and writing long pieces of
    // them matters more: these lines stay in the second.
    const std::int64_t line_bytes = volume.width < 16 ? 1 << 13 : 1 << 17;
    const std::int64_t number_bytes = problem.number == Number::float64 ? 8 : 4;
    std::int64_t tile = line_bytes / number_bytes / volume.width;
    if (tile < 16) tile = 16;
    if (tile < 4 * last.taps) tile = 4 * last.taps;
    volume.tile = tile < volume.cells_out ? tile : volume.cells_out;
    volume.tiles = (volume.cells_out + volume.tile - 1) / volume.tile;
    return volume;
}

// Units of a plane: samples along its first axis, or tiles where that is also its last.
inline std::int64_t units_of_plane(const Volume& volume) {
    return volume.first_axis == 2 ? volume.tiles : volume.axis[volume.first_axis].samples;
}

}  // namespace
}  // namespace upstroke
