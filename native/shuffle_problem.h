// The numbers of one shuffle: phases, each a row of a matrix, and the map whose samples they are.
#pragma once

#include <cstdint>

namespace upstroke {

// Row (channel, phase) of the matrix has the cells of a map in C order, phases in C order too; the sample at
// scale * cell + phase of each axis is the same number. The axes that a map has not got are in front, of one cell and
// one phase. Strides count numbers; what they pass over is left as it is, so a strip of a map can be written.
struct Shuffle {
    std::int64_t channels;
    std::int64_t cells[3];
    std::int64_t scale[3];
    std::int64_t phase_stride;       // from one row of the matrix to the next
    std::int64_t sample_strides[3];  // from one channel, sample of axis 0, sample of axis 1 to the next
    int bytes;                       // of one number: 2, 4 or 8
    int threads;                     // at most so many work at once
};

// From the start of the map to the end of its last sample.
inline std::int64_t extent_of_samples(const Shuffle& shuffle) {
    const std::int64_t* const stride = shuffle.sample_strides;
    return (shuffle.channels - 1) * stride[0] + (shuffle.cells[0] * shuffle.scale[0] - 1) * stride[1] +
           (shuffle.cells[1] * shuffle.scale[1] - 1) * stride[2] + shuffle.cells[2] * shuffle.scale[2];
}

inline std::int64_t extent_of_phases(const Shuffle& shuffle) {
    const std::int64_t rows = shuffle.channels * shuffle.scale[0] * shuffle.scale[1] * shuffle.scale[2];
    return (rows - 1) * shuffle.phase_stride + shuffle.cells[0] * shuffle.cells[1] * shuffle.cells[2];
}

// One row of cells of one channel, with all its phases, is what threads share.
inline std::int64_t units_of_shuffle(const Shuffle& shuffle) {
    return shuffle.channels * shuffle.cells[0] * shuffle.cells[1];
}

}  // namespace upstroke
