// Gradient in the taps where the channels of a cell lie together: vectors run along channels.
#pragma once

#include <cstdint>

#include "dots.h"
#include "phase_taps.h"
#include "prefetch.h"
#include "problem.h"
#include "taps_sums.h"
#include "volume.h"

namespace upstroke {
namespace {

template <class T>
class TapsChannels {
    using S = Sum<T>;

  public:
    TapsChannels(const Problem& problem, const T* y, const T* x, double* sums)
        : volume_(volume_of(problem)),
          y_(y),
          x_(x),
          width_(problem.channels),
          vectors_((width_ + lanes<S> - 1) / lanes<S>),
          some_(cells_at_once(volume_)),
          phase_taps_(volume_),
          pair_of_rows_(axis(1), phase_taps_ ? phase_taps_.of(1) : none),
          pair_of_phases_(axis(2), phase_taps_ ? phase_taps_.of(2) : none),
          sums_(problem, volume_, vectors_, true, sums) {
        // Cells whose taps all read cells of the row, and that own as many samples as there are phases.
        inner_first_ = axis(2).origin > 0 ? axis(2).origin : 0;
        inner_last_ = axis(2).cells - axis(2).taps + 1 + axis(2).origin;
        const std::int64_t whole = axis(2).samples / axis(2).scale;
        if (inner_last_ > whole) inner_last_ = whole;
    }

    bool run(std::int64_t first, std::int64_t last) {
        if (!phase_taps_ || !sums_) return false;
        const int outer = volume_.first_axis;
        const std::int64_t units = sampled_cells(axis(outer));
        for (std::int64_t unit = first; unit < last; ++unit) {
            const std::int64_t plane = unit / units, m = unit % units;
            from_samples_ = y_ + plane * axis(0).samples * axis(1).samples * axis(2).samples * width_;
            from_cells_ = x_ + plane * axis(0).cells * axis(1).cells * axis(2).cells * width_;
            if (outer == 2) {
                // Neighbouring units are neighbouring cells: as many as there are go together.
                const std::int64_t stop = units < m + (last - unit) ? units : m + (last - unit);
                rows(0, 0, m, stop);
                unit += stop - m - 1;
            } else if (outer == 1) {
                rows(0, m, 0, volume_.cells_out);
            } else {
                for (std::int64_t m1 = 0; m1 < sampled_cells(axis(1)); ++m1) rows(m, m1, 0, volume_.cells_out);
            }
        }
        sums_.empty(0);
        return true;
    }

  private:
    static constexpr Range none[2] = {{0, 0}, {0, 0}};

    const Axis& axis(int a) const { return volume_.axis[a]; }

    // As many as leave room in the second cache for as many again, which are fetched meanwhile.
    static std::int64_t cells_at_once(const Volume& volume) {
        const std::int64_t of_cell = volume.axis[1].scale * volume.axis[2].scale * volume.width * static_cast<std::int64_t>(sizeof(T));
        const std::int64_t cells = (std::int64_t{1} << 17) / of_cell;
        return cells < 8 ? 8 : cells > 256 ? 256 : cells;
    }

    // The samples that cells [first, last) of one row own, a few cells at a time so that they are read from near.
    void rows(std::int64_t m0, std::int64_t m1, std::int64_t first, std::int64_t last) {
        for (std::int64_t begin = first; begin < last;) {
            std::int64_t end = last < begin + some_ ? last : begin + some_;
            if (begin < inner_first_ && end > inner_first_) end = inner_first_;
            if (begin < inner_last_ && end > inner_last_) end = inner_last_;
            const bool inner = begin >= inner_first_ && end <= inner_last_;
            for (std::int64_t p0 = 0; p0 < axis(0).scale && m0 * axis(0).scale + p0 < axis(0).samples; ++p0) {
                if (inner && square(m0, p0, m1, begin, end)) continue;
                for (std::int64_t p1 = 0; p1 < axis(1).scale && m1 * axis(1).scale + p1 < axis(1).samples; ++p1) {
                    rows_of_cells(m0, m1, p0 * axis(1).scale + p1, row_of_samples(m0, p0, m1, p1), begin, end, inner);
                }
            }
            sums_.count(end - begin, 0);
            begin = end;
        }
    }

    const T* row_of_samples(std::int64_t m0, std::int64_t p0, std::int64_t m1, std::int64_t p1) const {
        const std::int64_t n0 = m0 * axis(0).scale + p0, n1 = m1 * axis(1).scale + p1;
        return from_samples_ + (n0 * axis(1).samples + n1) * axis(2).samples * width_;
    }
    const T* row_of_cells(std::int64_t j0, std::int64_t j1) const {
        return from_cells_ + (j0 * axis(1).cells + j1) * axis(2).cells * width_;
    }

    // Both rows of samples that a row of cells owns at once, where there are two with two taps; false: there are not.
    bool square(std::int64_t m0, std::int64_t p0, std::int64_t m1, std::int64_t begin, std::int64_t end) {
        if (!pair_of_rows_.serves || !pair_of_phases_.serves || m1 * 2 + 1 >= axis(1).samples) return false;
        std::int64_t rows[3];
        for (int height = 0; height < 2 + pair_of_rows_.staggered; ++height) {
            rows[height] = cell_at(axis(1), m1 + pair_of_rows_.first + height - axis(1).origin);
            if (rows[height] < 0) return false;
        }
        if (!pair_of_rows_.staggered) rows[2] = rows[1];
        const T* const samples[2] = {row_of_samples(m0, p0, m1, 0), row_of_samples(m0, p0, m1, 1)};
        for (const T* row : samples) {
            const std::int64_t bytes = 2 * width_ * static_cast<std::int64_t>(sizeof(T));
            prefetch(address_of(row) + static_cast<std::uintptr_t>(end * bytes), (end - begin) * bytes);
        }
        const Range depth = phase_taps_.of(0)[p0];
        for (std::int64_t k0 = depth.first; k0 < depth.last; ++k0) {
            const std::int64_t j0 = cell_at(axis(0), m0 + k0 - axis(0).origin);
            if (j0 < 0) continue;
            const std::int64_t first_cell = begin + pair_of_phases_.first - axis(2).origin;
            const T* const newest = row_of_cells(j0, rows[2]) + (first_cell + end - begin) * width_;
            prefetch(address_of(newest), (end - begin) * width_ * static_cast<std::int64_t>(sizeof(T)));
            const std::int64_t first = k0 * axis(1).taps + pair_of_rows_.first;
            const std::int64_t next = first + pair_of_rows_.staggered;
            for (std::int64_t v = 0; v < vectors_; ++v) {
                const std::int64_t c = channel_of(v);
                const std::int64_t from = 2 * begin * width_ + c, at = first_cell * width_ + c;
                const Square<T> square{{samples[0] + from, samples[1] + from},
                                       width_,
                                       2 * width_,
                                       {row_of_cells(j0, rows[0]) + at, row_of_cells(j0, rows[1]) + at, row_of_cells(j0, rows[2]) + at},
                                       width_,
                                       width_,
                                       end - begin};
                const std::int64_t sum = pair_of_phases_.first * sums_.step() + v * lanes<S>;
                S* const to[2][2] = {{sums_.at(p0 * 2, first) + sum, sums_.at(p0 * 2, first + 1) + sum},
                                     {sums_.at(p0 * 2 + 1, next) + sum, sums_.at(p0 * 2 + 1, next + 1) + sum}};
                dots(square, pair_of_rows_, pair_of_phases_, to, sums_.row(), sums_.step());
            }
        }
        return true;
    }

    void rows_of_cells(std::int64_t m0, std::int64_t m1, std::int64_t phase, const T* samples, std::int64_t begin,
                       std::int64_t end, bool inner) {
        const std::int64_t p0 = phase / axis(1).scale, p1 = phase % axis(1).scale;
        const Range depth = phase_taps_.of(0)[p0], height = phase_taps_.of(1)[p1];
        for (std::int64_t k0 = depth.first; k0 < depth.last; ++k0) {
            const std::int64_t j0 = cell_at(axis(0), m0 + k0 - axis(0).origin);
            if (j0 < 0) continue;
            for (std::int64_t k1 = height.first; k1 < height.last; ++k1) {
                const std::int64_t j1 = cell_at(axis(1), m1 + k1 - axis(1).origin);
                if (j1 < 0) continue;
                const T* const cells = row_of_cells(j0, j1);
                S* const to = sums_.at(phase, k0 * axis(1).taps + k1);
                if (inner) {
                    inner_cells(samples, cells, begin, end, to);
                } else {
                    for (std::int64_t m = begin; m < end; ++m) edge_cell(samples, cells, m, to);
                }
            }
        }
    }

    // The vector that ends with the last channel has sums of its own, so that nothing is counted twice.
    std::int64_t channel_of(std::int64_t vector) const {
        const std::int64_t channel = vector * lanes<S>;
        return channel > width_ - lanes<S> ? width_ - lanes<S> : channel;
    }

    void inner_cells(const T* samples, const T* cells, std::int64_t begin, std::int64_t end, S* to) {
        const std::int64_t scale = axis(2).scale;
        for (std::int64_t v = 0; v < vectors_; ++v) {
            const std::int64_t c = channel_of(v);
            const Steps<T> steps{samples + begin * scale * width_ + c,
                                 width_,
                                 scale * width_,
                                 cells + (begin - axis(2).origin) * width_ + c,
                                 width_,
                                 width_,
                                 end - begin};
            dots(steps, scale, phase_taps_.of(2), to + v * lanes<S>, sums_.row(), sums_.step());
        }
    }

    void edge_cell(const T* samples, const T* cells, std::int64_t m, S* to) {
        const std::int64_t scale = axis(2).scale;
        const std::int64_t left = axis(2).samples - m * scale;
        for (std::int64_t k = 0; k < axis(2).taps; ++k) {
            const std::int64_t j = cell_at(axis(2), m + k - axis(2).origin);
            if (j < 0) continue;
            for (std::int64_t v = 0; v < vectors_; ++v) {
                const std::int64_t c = channel_of(v);
                for (std::int64_t p = 0; p < scale && p < left; ++p) {
                    const Steps<T> steps{samples + (m * scale + p) * width_ + c, 0, 0, cells + j * width_ + c, 0, 0, 1};
                    S* const sum = to + p * sums_.row() + k * sums_.step() + v * lanes<S>;
                    dots_block<T, 1, 1, 0>(steps, sum, sum, 0);
                }
            }
        }
    }

    Volume volume_;
    const T* y_;
    const T* x_;
    std::int64_t width_, vectors_;
    std::int64_t inner_first_ = 0, inner_last_ = 0;
    const T* from_samples_ = nullptr;
    const T* from_cells_ = nullptr;
    std::int64_t some_;
    PhaseTaps phase_taps_;
    PairOfPhases pair_of_rows_, pair_of_phases_;
    TapsSums<S> sums_;
};

}  // namespace
}  // namespace upstroke
