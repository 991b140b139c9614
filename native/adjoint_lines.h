// Gradient in x where neighbouring cells lie together, or nearly: vectors run along a row of cells.
#pragma once

#include <cstdint>

#include "forms.h"
#include "gather.h"
#include "interleave.h"
#include "problem.h"
#include "scratch.h"
#include "split.h"
#include "terms.h"
#include "volume.h"

namespace upstroke {
namespace {

// A few rows of samples at a time, each kept where the next row that takes its place finds it.
template <class S>
class RowRing {
  public:
    RowRing(std::int64_t rows, std::int64_t size, std::int64_t channels)
        : rows_(rows),
          size_(size),
          memory_(static_cast<std::size_t>(rows * size * channels)),
          kept_(static_cast<std::size_t>(rows * channels)),
          sum_(static_cast<std::size_t>(rows * channels)) {}

    explicit operator bool() const { return memory_ && kept_ && sum_; }

    void forget(std::int64_t channels) {
        for (std::int64_t i = 0; i < rows_ * channels; ++i) kept_[i] = -1;
        for (std::int64_t i = 0; i < rows_ * channels; ++i) sum_[i] = -1;
    }
    std::int64_t slot(std::int64_t place, std::int64_t channel) const { return channel * rows_ + place % rows_; }
    S* at(std::int64_t slot) const { return memory_.get() + slot * size_; }
    std::int64_t& kept(std::int64_t slot) const { return kept_[slot]; }
    // The sum that last had a term of it.
    std::int64_t& sum(std::int64_t slot) const { return sum_[slot]; }

  private:
    std::int64_t rows_, size_;
    Scratch<S> memory_;
    Scratch<std::int64_t> kept_, sum_;
};

inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
inline std::int64_t most(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

// The places along a row that a segment of its cells is summed from. Place i is that of cell i - origin, and has
// a sum for i from 0 to `sums`; beyond the first and the last cell the border says which cell takes the sum.
struct Segment {
    static constexpr std::int64_t few = 64;
    std::int64_t first, last;    // cells
    std::int64_t lower, upper;   // places, with those beyond the ends of the row where they are few
    std::int64_t begin, end;     // places among them that have a sum

    Segment(const Axis& axis, std::int64_t first_cell, std::int64_t last_cell) : first(first_cell), last(last_cell) {
        const std::int64_t sums = sampled_cells(axis) + axis.taps - 1;
        lower = first + axis.origin;
        upper = last + axis.origin;
        if (axis.border != Border::zero) {
            if (first == 0 && lower > 0 && lower <= few) lower = 0;
            if (last == axis.cells && upper < sums && sums - upper <= few) upper = sums;
        }
        begin = least(most(lower, 0), upper);
        end = most(begin, least(upper, sums));
    }
};

constexpr std::int64_t segment_cells = 4096;
inline std::int64_t segments_of(std::int64_t cells) { return (cells + segment_cells - 1) / segment_cells; }

template <class T>
class AdjointLines {
    using S = Sum<T>;

  public:
    AdjointLines(const Problem& problem, const T* y, const S* taps, T* x)
        : problem_(problem),
          volume_(volume_of(problem)),
          y_(y),
          taps_(taps),
          x_(x),
          width_(volume_.width),
          taps_of_phase_(axis(0).taps * axis(1).taps * axis(2).taps),
          tile_(least(axis(2).cells, segment_cells)),
          line_(tile_ + 2 * Segment::few + axis(2).taps + 4 * lanes<S>),
          block_(most(128, 2048 / axis(2).scale / width_)),
          form_(volume_, problem.tap_channels, 1, 1),
          ring_(ring_rows(), axis(2).scale * width_ * line_, 1),
          deep_(volume_.first_axis == 0 ? deep_rows() : 1, volume_.first_axis == 0 ? line_ * axis(2).scale * width_ : 1, 1),
          blended_(static_cast<std::size_t>((block_ + axis(2).taps) * axis(2).scale * width_ + 4 * lanes<S>)),
          phases_(static_cast<std::size_t>((block_ + axis(2).taps + 2 * lanes<S>) * axis(2).scale * width_)),
          sums_(static_cast<std::size_t>(line_ * width_)) {}

    bool run(std::int64_t first, std::int64_t last) {
        if (!form_ || !ring_ || !deep_ || !blended_ || !phases_ || !sums_) return false;
        const int outer = volume_.first_axis;
        const std::int64_t segments = segments_of(axis(2).cells);
        const std::int64_t units = outer == 2 ? segments : axis(outer).cells;
        while (first < last) {
            const std::int64_t plane = first / units;
            const std::int64_t end = least(last, (plane + 1) * units);
            take_plane(plane);
            const std::int64_t begin = first - plane * units, stop = end - plane * units;
            if (outer == 2) {
                for (std::int64_t s = begin; s < stop; ++s) {
                    if (!segment(s, 0, 1, 0, 1)) return false;
                }
            } else {
                for (std::int64_t s = 0; s < segments; ++s) {
                    const bool done = outer == 1 ? segment(s, 0, 1, begin, stop) : segment(s, begin, stop, 0, axis(1).cells);
                    if (!done) return false;
                }
            }
            first = end;
        }
        return true;
    }

  private:
    const Axis& axis(int a) const { return volume_.axis[a]; }
    // As many as one cell reads, if they are not too many: then some are loaded more than once.
    std::int64_t ring_rows() const {
        const std::int64_t rows = least(axis(0).taps * axis(0).scale, axis(0).samples) * deep_rows();
        return most(1, least(rows, (std::int64_t{1} << 22) / (axis(2).scale * line_ * width_)));
    }
    std::int64_t deep_rows() const { return least(axis(1).taps * axis(1).scale, axis(1).samples); }

    void take_plane(std::int64_t plane) {
        const std::int64_t samples = axis(0).samples * axis(1).samples * axis(2).samples;
        const std::int64_t cells = axis(0).cells * axis(1).cells * axis(2).cells;
        from_ = y_ + plane * samples * width_;
        to_ = x_ + plane * cells * width_;
        channel_ = problem_.tap_channels == 1 ? 0 : plane * width_ % problem_.channels;
        separable_ = false;
        if (width_ == 1 || problem_.tap_channels == 1) {
            form_.read(taps_, channel_);
            separable_ = form_.separable();
        }
    }

    const T* row_of(std::int64_t n0, std::int64_t n1) const {
        return from_ + (n0 * axis(1).samples + n1) * axis(2).samples * width_;
    }
    const S* kernel(std::int64_t p0, std::int64_t p1, std::int64_t p2, std::int64_t channel) const {
        const std::int64_t phase = (p0 * axis(1).scale + p1) * axis(2).scale + p2;
        const std::int64_t of = problem_.tap_channels == 1 ? 0 : channel_ + channel;
        return taps_ + (phase * problem_.tap_channels + of) * taps_of_phase_;
    }

    // Rows [first, last) of axes 0 and 1, the cells of one segment of each.
    bool segment(std::int64_t index, std::int64_t first0, std::int64_t last0, std::int64_t first1, std::int64_t last1) {
        const Segment segment(axis(2), index * tile_, least(axis(2).cells, (index + 1) * tile_));
        ring_.forget(1);
        for (std::int64_t j0 = first0; j0 < last0; ++j0) {
            if (!depth_.list(axis(0), j0)) return false;
            deep_.forget(1);
            for (std::int64_t j1 = first1; j1 < last1; ++j1) {
                if (!height_.list(axis(1), j1)) return false;
                if (separable_) {
                    by_passes(segment);
                } else {
                    for (std::int64_t c = 0; c < width_; ++c) at_once(segment, c);
                }
                for (std::int64_t c = 0; c < width_; ++c) finish(segment, c);
                store_cells(segment, to_ + ((j0 * axis(1).cells + j1) * axis(2).cells + segment.first) * width_);
            }
        }
        return true;
    }

    // Every sample that is read times its tap: phases of rows are lines, moved by a cell for every tap.
    void at_once(const Segment& segment, std::int64_t channel) {
        terms_.begin(sums(channel) + (segment.begin - segment.lower), segment.end - segment.begin, true);
        const std::int64_t taps = axis(2).taps, scale = axis(2).scale;
        if (segment.begin < segment.end) {
            for (std::int64_t a = 0; a < depth_.count(); ++a) {
                for (std::int64_t b = 0; b < height_.count(); ++b) {
                    const Read deep = depth_[a], high = height_[b];
                    const std::int64_t p0 = deep.sample % axis(0).scale, p1 = high.sample % axis(1).scale;
                    const S* row = nullptr;
                    for (std::int64_t p2 = 0; p2 < scale; ++p2) {
                        const S* const weights = kernel(p0, p1, p2, channel) + (deep.tap * axis(1).taps + high.tap) * taps;
                        for (std::int64_t k = taps - 1; k >= 0; --k) {
                            if (weights[k] == 0) continue;
                            if (row == nullptr) row = split_row(segment, deep.sample, high.sample);
                            terms_.add(row + (p2 * width_ + channel) * line_ + taps - 1 - k, weights[k]);
                        }
                    }
                }
            }
        }
        terms_.end();
    }

    // The phases of a row of samples, from the cell that the last tap of the first place reads.
    const S* split_row(const Segment& segment, std::int64_t n0, std::int64_t n1) {
        const std::int64_t row = n0 * axis(1).samples + n1;
        const std::int64_t deep = deep_rows();
        const std::int64_t slot = ring_.slot(n0 % (axis(0).taps * axis(0).scale) * deep + n1 % deep, 0);
        if (ring_.kept(slot) != row) {
            if (ring_.sum(slot) == terms_.sum()) terms_.flush();
            ring_.kept(slot) = row;
            load_lines(row_of(n0, n1), 0, segment.begin, segment.end, line_, ring_.at(slot));
        }
        ring_.sum(slot) = terms_.sum();
        return ring_.at(slot);
    }

    // A line for every phase and channel, for the places [begin, end) of a row whose first number in memory is that of `first`
    // sample.
    template <class N>
    void load_lines(const N* row, std::int64_t first, std::int64_t begin, std::int64_t end, std::int64_t size, S* to) const {
        const std::int64_t scale = axis(2).scale;
        const std::int64_t lowest = begin - (axis(2).taps - 1);
        const std::int64_t start = most(lowest, 0);
        const std::int64_t stop = most(least(end * scale, axis(2).samples), start * scale);
        split(row + (start * scale - first) * width_, 1, scale * width_, (stop - start * scale) * width_, start - lowest, size, to);
    }

    // Axis 0 and 1 first, whose sums run along whole rows of samples as they lie in memory, then one row of phases.
    void by_passes(const Segment& segment) {
        const std::int64_t scale = axis(2).scale, taps = axis(2).taps;
        for (std::int64_t begin = segment.begin; begin < segment.end; begin += block_) {
            const std::int64_t end = least(segment.end, begin + block_);
            const std::int64_t first = most(0, begin - (taps - 1)) * scale;
            const std::int64_t stop = most(first, least(end * scale, axis(2).samples));
            blend_rows(segment, first, stop);
            const std::int64_t size = (end - begin) + taps + 2 * lanes<S>;
            load_lines(blended_.get(), first, begin, end, size, phases_.get());
            for (std::int64_t c = 0; c < width_; ++c) {
                terms_.begin(sums(c) + (begin - segment.lower), end - begin, true);
                for (std::int64_t p = 0; p < scale; ++p) {
                    const S* const weights = form_.factors(2, p);
                    for (std::int64_t k = taps - 1; k >= 0; --k) {
                        if (weights[k] != 0) terms_.add(phases_.get() + (p * width_ + c) * size + taps - 1 - k, weights[k]);
                    }
                }
                terms_.end();
            }
        }
    }

    // Samples [first, stop) of all rows that the cell reads along axis 0 and 1, into one row.
    void blend_rows(const Segment& segment, std::int64_t first, std::int64_t stop) {
        const std::int64_t numbers = (stop - first) * width_;
        if (volume_.first_axis > 0) {
            raw_terms_.begin(blended_.get(), numbers, false);
            for (std::int64_t b = 0; b < height_.count(); ++b) {
                const S weight = form_.factors(1, height_[b].sample % axis(1).scale)[height_[b].tap];
                if (weight != 0) raw_terms_.add(row_of(0, height_[b].sample) + first * width_, weight);
            }
            raw_terms_.end();
            return;
        }
        const std::int64_t origin = most(0, segment.begin - (axis(2).taps - 1)) * axis(2).scale;
        terms_.begin(blended_.get(), numbers, true);
        for (std::int64_t b = 0; b < height_.count(); ++b) {
            const S weight = form_.factors(1, height_[b].sample % axis(1).scale)[height_[b].tap];
            if (weight != 0) terms_.add(deep_row(segment, origin, height_[b].sample) + (first - origin) * width_, weight);
        }
        terms_.end();
    }

    // Row n1 of the samples, summed over axis 0, from `origin` on as far as the segment needs it.
    const S* deep_row(const Segment& segment, std::int64_t origin, std::int64_t n1) {
        const std::int64_t slot = deep_.slot(n1, 0);
        if (deep_.kept(slot) != n1) {
            if (deep_.sum(slot) == terms_.sum()) terms_.flush();
            deep_.kept(slot) = n1;
            const std::int64_t stop = most(origin, least(segment.end * axis(2).scale, axis(2).samples));
            raw_terms_.begin(deep_.at(slot), (stop - origin) * width_, false);
            for (std::int64_t a = 0; a < depth_.count(); ++a) {
                const S weight = form_.factors(0, depth_[a].sample % axis(0).scale)[depth_[a].tap];
                if (weight != 0) raw_terms_.add(row_of(depth_[a].sample, n1) + origin * width_, weight);
            }
            raw_terms_.end();
        }
        deep_.sum(slot) = terms_.sum();
        return deep_.at(slot);
    }

    S* sums(std::int64_t channel) const { return sums_.get() + channel * line_; }

    // What stands beyond the ends is added to the cell that the border says.
    void finish(const Segment& segment, std::int64_t channel) {
        S* const line = sums(channel);
        for (std::int64_t i = segment.lower; i < segment.begin; ++i) line[i - segment.lower] = 0;
        for (std::int64_t i = segment.end; i < segment.upper; ++i) line[i - segment.lower] = 0;
        if (axis(2).border != Border::zero) {
            const std::int64_t places = sampled_cells(axis(2)) + axis(2).taps - 1;
            const std::int64_t below = least(places, axis(2).origin);
            const std::int64_t above = most(0, axis(2).origin + axis(2).cells);
            for (std::int64_t i = 0; i < below; ++i) fold(segment, i, channel);
            for (std::int64_t i = above; i < places; ++i) fold(segment, i, channel);
        }
    }

    void store_cells(const Segment& segment, T* to) const {
        const S* const from = sums_.get() + (segment.first + axis(2).origin - segment.lower);
        const std::int64_t count = segment.last - segment.first;
        std::int64_t m = 0;
        switch (width_) {
            case 1: m = weave<1>(from, count, to); break;
            case 2: m = weave<2>(from, count, to); break;
            case 3: m = weave<3>(from, count, to); break;
            case 4: m = weave<4>(from, count, to); break;
            case 8: m = weave<8>(from, count, to); break;
        }
        for (std::int64_t c = 0; c < width_; ++c) {
            for (std::int64_t i = m; i < count; ++i) store(from[c * line_ + i], to[i * width_ + c]);
        }
    }

    // The cells of so many lines, as far as they fill vectors.
    template <int width>
    std::int64_t weave(const S* from, std::int64_t count, T* to) const {
        std::int64_t m = 0;
        for (; m + lanes<S> <= count; m += lanes<S>) {
            Vector<S> channels[width];
            for (int c = 0; c < width; ++c) channels[c] = load_vector(from + c * line_ + m);
            interleave<width, false>(channels, to + m * width);
        }
        return m;
    }

    void fold(const Segment& segment, std::int64_t place, std::int64_t channel) {
        const std::int64_t cell = cell_at(axis(2), place - axis(2).origin);
        if (cell < segment.first || cell >= segment.last) return;
        S* const line = sums(channel);
        const bool here = place >= segment.lower && place < segment.upper;
        line[cell + axis(2).origin - segment.lower] += here ? line[place - segment.lower] : sum_at(place, channel);
    }

    // The sum at one place, sample by sample.
    S sum_at(std::int64_t place, std::int64_t channel) const {
        S sum = 0;
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            for (std::int64_t b = 0; b < height_.count(); ++b) {
                const Read deep = depth_[a], high = height_[b];
                const T* const row = row_of(deep.sample, high.sample) + channel;
                for (std::int64_t k = 0; k < axis(2).taps; ++k) {
                    for (std::int64_t p2 = 0; p2 < axis(2).scale; ++p2) {
                        const std::int64_t n = (place - k) * axis(2).scale + p2;
                        if (n < 0 || n >= axis(2).samples) continue;
                        const S* const weights = kernel(deep.sample % axis(0).scale, high.sample % axis(1).scale, p2, channel);
                        const S weight = weights[(deep.tap * axis(1).taps + high.tap) * axis(2).taps + k];
                        if (weight != 0) sum += weight * load(row[n * width_]);
                    }
                }
            }
        }
        return sum;
    }

    const Problem& problem_;
    Volume volume_;
    const T* y_;
    const S* taps_;
    T* x_;
    std::int64_t width_, taps_of_phase_;
    std::int64_t tile_;   // cells of a segment
    std::int64_t line_;   // numbers kept for one phase of a segment
    std::int64_t block_;  // places that are worked on at once in passes
    const T* from_ = nullptr;
    T* to_ = nullptr;
    std::int64_t channel_ = 0;
    bool separable_ = false;
    Form<S> form_;
    Reads depth_, height_;
    RowRing<S> ring_;  // of phases
    RowRing<S> deep_;  // of rows that are summed over axis 0
    Scratch<S> blended_, phases_, sums_;
    Terms<S> terms_;
    Terms<T> raw_terms_;
};

}  // namespace
}  // namespace upstroke
