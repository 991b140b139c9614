// A transposed convolution over all channels by minimal filtering (Winograd): fewer products than taps, each a matrix.
#pragma once

#include <cstdint>

namespace upstroke {

// One axis: sample scale * m + p is a sum over a few taps of cells near m. In place of the taps times the cells themselves,
// sums of two taps are multiplied with sums of two cells, and the products are added to several samples: three samples of two
// taps take four products in place of six, two samples of three taps four as well. In two axes both are done, one within the
// other, so that a product is a matrix (channels in, channels out) applied to one row of channels.

// The number x[first] + sign * x[second]; sign 0: the first alone.
struct Reading {
    std::int64_t first, second;
    float sign;
};

// What a product adds to a sample: sign * product.
struct Part {
    std::int64_t product;
    float sign;
};

// Sums of taps that a phase of so many taps is multiplied by.
constexpr int most_taps = 3, most_sums = 5;

// One phase of one axis. Products stand in order of the sum of taps that they take: those of sum w are
// sum_starts[w] .. sum_starts[w + 1].
struct AxisPhase {
    int sums;
    std::int64_t sum_starts[most_sums + 1];
    std::int64_t products;
    const std::int64_t* readings;     // of each product
    std::int64_t first_cell, outputs;  // cells m whose sample this phase has
    const std::int64_t* part_starts;  // of each output, and the end
    const Part* parts;
};

struct AxisPlan {
    std::int64_t readings;
    const Reading* reading;
    std::int64_t scale;
    const AxisPhase* phases;               // `scale` of them
    std::int64_t first_read, cells_read;   // cells that are read
    std::int64_t first_sample, samples;    // that are written
};

// What one thread does at a time: some maps of a batch, or some rows of one.
struct MinimalUnit {
    AxisPlan rows, columns;
    std::int64_t first_map, maps;
};

struct Minimal {
    std::int64_t batch, channels, out;
    std::int64_t cells[2], samples[2], scale[2], kernel[2], padding[2];
    bool channels_last;  // of both maps
    int threads;
};

// The weight lies in blocks of output channels, one after the other; the last may be narrower, filled up with zeros. In a block
// lie the phases, in these the pairs of sums, in these a row of the block's width for every input channel.
constexpr std::int64_t widest_block = 64;

inline std::int64_t block_width(std::int64_t channels_left) {
    return channels_left > 32 ? 64 : channels_left > 16 ? 32 : 16;
}

}  // namespace upstroke
