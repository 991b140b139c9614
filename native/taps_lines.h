// Gradient in the taps where neighbouring cells lie together, or nearly: vectors run along a row of cells.
#pragma once

#include <cstdint>

#include "dots.h"
#include "lines.h"
#include "phase_taps.h"
#include "prefetch.h"
#include "problem.h"
#include "scratch.h"
#include "split.h"
#include "taps_sums.h"
#include "volume.h"

namespace upstroke {
namespace {

constexpr std::int64_t owner_segment = 2048;
inline std::int64_t owner_segments(std::int64_t owners) { return (owners + owner_segment - 1) / owner_segment; }

template <class T>
class TapsLines {
    using S = Sum<T>;

  public:
    TapsLines(const Problem& problem, const T* y, const T* x, double* sums)
        : problem_(problem),
          volume_(volume_of(problem)),
          y_(y),
          x_(x),
          width_(volume_.width),
          tile_(owner_segment < volume_.cells_out ? owner_segment : volume_.cells_out),
          line_((tile_ + lanes<S> - 1) / lanes<S> * lanes<S>),
          cell_line_(line_ + axis(2).taps),
          samples_(static_cast<std::size_t>(2 * axis(2).scale * width_ * line_)),
          cells_(static_cast<std::size_t>(axis(0).taps * axis(1).taps * width_ * cell_line_)),
          kept_(static_cast<std::size_t>(axis(0).taps * axis(1).taps)),
          border_(static_cast<std::size_t>(width_ > 1 ? cell_line_ * width_ : 1)),
          phase_taps_(volume_),
          pair_of_rows_(axis(1), phase_taps_ ? phase_taps_.of(1) : none),
          pair_of_phases_(axis(2), phase_taps_ ? phase_taps_.of(2) : none),
          sums_(problem, volume_, width_ > 1 && problem.tap_channels > 1 ? width_ : 1, false, sums) {}

    bool run(std::int64_t first, std::int64_t last) {
        if (!samples_ || !cells_ || !kept_ || !border_ || !phase_taps_ || !sums_) return false;
        const int outer = volume_.first_axis;
        const std::int64_t segments = owner_segments(volume_.cells_out);
        const std::int64_t units = outer == 2 ? segments : sampled_cells(axis(outer));
        while (first < last) {
            const std::int64_t plane = first / units;
            const std::int64_t end = last < (plane + 1) * units ? last : (plane + 1) * units;
            const std::int64_t begin = first - plane * units, stop = end - plane * units;
            take_plane(plane);
            if (outer == 2) {
                for (std::int64_t s = begin; s < stop; ++s) segment(s, 0, 1, 0, 1);
            } else {
                for (std::int64_t s = 0; s < segments; ++s) {
                    if (outer == 1) segment(s, 0, 1, begin, stop);
                    if (outer == 0) segment(s, begin, stop, 0, sampled_cells(axis(1)));
                }
            }
            sums_.empty(channel_);
            first = end;
        }
        return true;
    }

  private:
    static constexpr Range none[2] = {{0, 0}, {0, 0}};

    const Axis& axis(int a) const { return volume_.axis[a]; }

    void take_plane(std::int64_t plane) {
        from_samples_ = y_ + plane * axis(0).samples * axis(1).samples * axis(2).samples * width_;
        from_cells_ = x_ + plane * axis(0).cells * axis(1).cells * axis(2).cells * width_;
        channel_ = plane % (problem_.channels / width_);
    }

    // Rows of samples that the cells [first, last) of axes 0 and 1 own, those of one segment of each.
    void segment(std::int64_t index, std::int64_t first0, std::int64_t last0, std::int64_t first1, std::int64_t last1) {
        first_ = index * tile_;
        count_ = volume_.cells_out - first_ < tile_ ? volume_.cells_out - first_ : tile_;
        for (std::int64_t i = 0; i < axis(0).taps * axis(1).taps; ++i) kept_[i] = -1;
        for (std::int64_t m0 = first0; m0 < last0; ++m0) {
            for (std::int64_t m1 = first1; m1 < last1; ++m1) {
                for (std::int64_t p0 = 0; p0 < axis(0).scale && m0 * axis(0).scale + p0 < axis(0).samples; ++p0) {
                    if (square(m0, p0, m1)) continue;
                    for (std::int64_t p1 = 0; p1 < axis(1).scale && m1 * axis(1).scale + p1 < axis(1).samples; ++p1) {
                        row(m0, p0, m1, p1);
                    }
                }
                sums_.count((count_ + lanes<S> - 1) / lanes<S> * (width_ > 1 && problem_.tap_channels == 1 ? width_ : 1), channel_);
            }
        }
    }

    // The phases of a row of samples, each a line for every channel.
    void split_row(std::int64_t n0, std::int64_t n1, S* to) {
        const std::int64_t scale = axis(2).scale;
        const T* const from = from_samples_ + ((n0 * axis(1).samples + n1) * axis(2).samples + first_ * scale) * width_;
        const std::int64_t left = axis(2).samples - first_ * scale;
        const std::int64_t samples = left < count_ * scale ? left : count_ * scale;
        split(from, 1, scale * width_, samples * width_, 0, line_, to);
        if (volume_.first_axis < 2) {
            // The next row of samples, as far as the machine has not seen that it is read in order.
            const std::int64_t bytes = axis(2).samples * width_ * static_cast<std::int64_t>(sizeof(T));
            prefetch(address_of(from) + static_cast<std::uintptr_t>(bytes), bytes < 2048 ? bytes : 2048);
        }
    }

    // Both rows of samples that a row of cells owns at once, where there are two with two taps; false: there are not.
    bool square(std::int64_t m0, std::int64_t p0, std::int64_t m1) {
        if (!pair_of_rows_.serves || !pair_of_phases_.serves || m1 * 2 + 1 >= axis(1).samples) return false;
        const int heights = pair_of_rows_.staggered ? 3 : 2;
        std::int64_t rows[3];
        for (int height = 0; height < heights; ++height) {
            rows[height] = cell_at(axis(1), m1 + pair_of_rows_.first + height - axis(1).origin);
            if (rows[height] < 0) return false;
        }
        const std::int64_t row_size = 2 * width_ * line_;
        for (std::int64_t p1 = 0; p1 < 2; ++p1) split_row(m0 * axis(0).scale + p0, m1 * 2 + p1, samples_.get() + p1 * row_size);
        const Range depth = phase_taps_.of(0)[p0];
        for (std::int64_t k0 = depth.first; k0 < depth.last; ++k0) {
            const std::int64_t j0 = cell_at(axis(0), m0 + k0 - axis(0).origin);
            if (j0 < 0) continue;
            const S* cells[3];
            for (int height = 0; height < heights; ++height) {
                const std::int64_t slot = slot_of(m0 + k0, m1 + pair_of_rows_.first + height);
                cells[height] = row_of_cells(slot, j0 * axis(1).cells + rows[height]) + pair_of_phases_.first;
            }
            if (heights == 2) cells[2] = cells[1];
            const std::int64_t first = k0 * axis(1).taps + pair_of_rows_.first;
            const std::int64_t next = first + pair_of_rows_.staggered;
            for (std::int64_t c = 0; c < width_; ++c) {
                const S* const samples = samples_.get() + c * line_;
                const Square<S> square{{samples, samples + row_size},
                                       width_ * line_,
                                       lanes<S>,
                                       {cells[0] + c * cell_line_, cells[1] + c * cell_line_, cells[2] + c * cell_line_},
                                       1,
                                       lanes<S>,
                                       (count_ + lanes<S> - 1) / lanes<S>};
                const std::int64_t sum = pair_of_phases_.first * sums_.step() + (problem_.tap_channels > 1 ? c * lanes<S> : 0);
                S* const to[2][2] = {{sums_.at(p0 * 2, first) + sum, sums_.at(p0 * 2, first + 1) + sum},
                                     {sums_.at(p0 * 2 + 1, next) + sum, sums_.at(p0 * 2 + 1, next + 1) + sum}};
                dots(square, pair_of_rows_, pair_of_phases_, to, sums_.row(), sums_.step());
            }
        }
        return true;
    }

    void row(std::int64_t m0, std::int64_t p0, std::int64_t m1, std::int64_t p1) {
        const std::int64_t scale = axis(2).scale;
        split_row(m0 * axis(0).scale + p0, m1 * axis(1).scale + p1, samples_.get());
        const Range depth = phase_taps_.of(0)[p0], height = phase_taps_.of(1)[p1];
        for (std::int64_t k0 = depth.first; k0 < depth.last; ++k0) {
            const std::int64_t j0 = cell_at(axis(0), m0 + k0 - axis(0).origin);
            if (j0 < 0) continue;
            for (std::int64_t k1 = height.first; k1 < height.last; ++k1) {
                const std::int64_t j1 = cell_at(axis(1), m1 + k1 - axis(1).origin);
                if (j1 < 0) continue;
                const S* const cells = row_of_cells(slot_of(m0 + k0, m1 + k1), j0 * axis(1).cells + j1);
                S* const to = sums_.at(p0 * axis(1).scale + p1, k0 * axis(1).taps + k1);
                for (std::int64_t c = 0; c < width_; ++c) {
                    const Steps<S> steps{samples_.get() + c * line_, width_ * line_, lanes<S>, cells + c * cell_line_, 1, lanes<S>,
                                         (count_ + lanes<S> - 1) / lanes<S>};
                    S* const of_channel = problem_.tap_channels > 1 ? to + c * lanes<S> : to;
                    dots(steps, scale, phase_taps_.of(2), of_channel, sums_.row(), sums_.step());
                }
            }
        }
    }

    // Where the line of a row of cells is kept while neighbours read it too.
    std::int64_t slot_of(std::int64_t place0, std::int64_t place1) const {
        return place0 % axis(0).taps * axis(1).taps + place1 % axis(1).taps;
    }

    // The cells of a row that the segment's first tap finds first, and so on: one line for each channel.
    const S* row_of_cells(std::int64_t slot, std::int64_t row) {
        S* const to = cells_.get() + slot * width_ * cell_line_;
        if (kept_[slot] == row) return to;
        kept_[slot] = row;
        const std::int64_t count = count_ + axis(2).taps - 1;
        const T* const from = from_cells_ + row * axis(2).cells * width_;
        S* const line = width_ == 1 ? to : border_.get();
        fill_line<Write::set, T>(line, from, axis(2), first_ - axis(2).origin, count, width_, 1);
        if (width_ > 1) {
            split(line, 1, width_, count * width_, 0, cell_line_, to);
        } else {
            // Samples beyond the last are zeros; what they meet must be numbers.
            for (std::int64_t i = count; i < cell_line_; ++i) to[i] = 0;
        }
        return to;
    }

    const Problem& problem_;
    Volume volume_;
    const T* y_;
    const T* x_;
    std::int64_t width_;
    std::int64_t tile_;       // cells of a segment
    std::int64_t line_;       // numbers kept for one phase of it
    std::int64_t cell_line_;  // and for the cells that it reads
    const T* from_samples_ = nullptr;
    const T* from_cells_ = nullptr;
    std::int64_t channel_ = 0, first_ = 0, count_ = 0;
    Scratch<S> samples_, cells_;
    Scratch<std::int64_t> kept_;
    Scratch<S> border_;
    PhaseTaps phase_taps_;
    PairOfPhases pair_of_rows_, pair_of_phases_;
    TapsSums<S> sums_;
};

}  // namespace
}  // namespace upstroke
