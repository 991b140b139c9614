// Gradient in x where the channels of a cell lie together: vectors run along channels, several cells at a time.
#pragma once

#include <cstdint>

#include "adjoint_lines.h"
#include "forms.h"
#include "gather.h"
#include "interleave.h"
#include "lanes.h"
#include "list.h"
#include "prefetch.h"
#include "problem.h"
#include "scratch.h"
#include "terms.h"
#include "unzip.h"
#include "volume.h"

namespace upstroke {
namespace {

// One row of samples that a row of cells reads, and a weight for every sample that a cell reads.
template <class T>
struct ChannelRow {
    const T* samples;
    const Sum<T>* weights;
};

// Cells of `width` channels. A step along the rows takes `scale` samples of each and adds what they give to `shifts`
// neighbouring cells: the first of these is whole then, and what the others have so far is carried on.
template <class T>
struct ChannelSums {
    const ChannelRow<T>* rows;
    std::int64_t count;         // of rows
    bool is_far;                // whether samples may come from beyond the caches
    std::int64_t start;         // number of a row that the first cell reads first
    std::int64_t scale;
    std::int64_t width;
    std::int64_t weight_width;  // `width`, or a vector where all channels have the same weights
    std::int64_t groups;        // of so many cells, where a kernel reaches further than `shifts`
    Sum<T>* carried;            // a vector for each of shifts - 1 cells, then those of the next channels
};

// So many vectors of neighbouring channels. Of two, numbers of half a word come apart into even and odd channels, which takes
// half the work, and weights must lie in the same order.
template <int vectors, class T>
UPSTROKE_INLINE void load_channels(const T* from, Vector<Sum<T>>* to) {
    if constexpr (vectors == 1) {
        *to = load_vector(from);
    } else {
        load_phases<vectors>(from, to);
    }
}

// `steps` steps from step `m` on, which make as many cells.
template <class T, class To, int shifts, int vectors, int steps>
UPSTROKE_INLINE void sum_steps(const ChannelSums<T>& sums, std::int64_t m, To* to) {
    using S = Sum<T>;
    constexpr int n = lanes<S>;
    const std::int64_t stride = sums.scale * sums.width, shift = sums.scale * sums.weight_width;
    if (sums.is_far) {
        constexpr std::int64_t number = sizeof(T);
        for (std::int64_t r = 0; r < sums.count; ++r) {
            // In order: the machine sees no order in how sums read, and fetches nothing by itself.
            const std::int64_t ahead = (sums.start + m * stride) * number + 4096;
            prefetch_far(address_of(sums.rows[r].samples) + static_cast<std::uintptr_t>(ahead), steps * stride * number);
        }
    }
    S* carried = sums.carried;
    for (std::int64_t c = 0;; c += vectors * n) {
        // The last vector ends with the last channel: what it has in common with the one before is made twice.
        if (c > sums.width - vectors * n) c = sums.width - vectors * n;
        const bool own_weights = sums.weight_width == sums.width;
        Vector<S> values[shifts - 1 + steps][vectors];
        for (int v = 0; v < vectors; ++v) {
            for (int i = 0; i < shifts - 1; ++i) values[i][v] = load_vector(carried + (i * vectors + v) * n);
            for (int i = 0; i < steps; ++i) values[shifts - 1 + i][v] = Vector<S>{};
        }
        for (std::int64_t g = 0; g < sums.groups; ++g) {
            for (std::int64_t p = 0; p < sums.scale; ++p) {
                const std::int64_t at = sums.start + (m + g * shifts) * stride + p * sums.width + c;
                const std::int64_t weight_at = g * shifts * shift + p * sums.weight_width + (own_weights ? c : 0);
                for (std::int64_t r = 0; r < sums.count; ++r) {
                    const T* const from = sums.rows[r].samples + at;
                    const S* const weights = sums.rows[r].weights + weight_at;
                    Vector<S> samples[steps][vectors];
                    for (int i = 0; i < steps; ++i) load_channels<vectors>(from + i * stride, samples[i]);
                    for (int t = 0; t < shifts; ++t) {
                        for (int v = 0; v < vectors; ++v) {
                            const Vector<S> weight = load_vector(weights + t * shift + (own_weights ? v * n : 0));
                            for (int i = 0; i < steps; ++i) values[shifts - 1 + i - t][v] += weight * samples[i][v];
                        }
                    }
                }
            }
        }
        for (int i = 0; i < shifts - 1; ++i) {
            for (int v = 0; v < vectors; ++v) store_vector(values[steps + i][v], carried + (i * vectors + v) * n);
        }
        for (int i = 0; i < steps; ++i) interleave<vectors, false>(values[i], to + i * sums.width + c);
        carried += (shifts - 1) * vectors * n;
        if (c == sums.width - vectors * n) break;
    }
}

// `cells` cells; `unused` has room for one.
template <class T, class To, int shifts, int vectors>
void sum_cells(const ChannelSums<T>& sums, std::int64_t cells, To* unused, To* to) {
    constexpr int steps = 4 / vectors;
    std::int64_t m = 0;
    for (; m < shifts - 1; ++m) sum_steps<T, To, shifts, vectors, 1>(sums, m, unused);
    const std::int64_t end = cells + shifts - 1;
    for (; m + steps <= end; m += steps, to += steps * sums.width) sum_steps<T, To, shifts, vectors, steps>(sums, m, to);
    for (; m < end; ++m, to += sums.width) sum_steps<T, To, shifts, vectors, 1>(sums, m, to);
}

constexpr std::int64_t most_shifts = 4;

template <int vectors, class T, class To>
void sum_cells(const ChannelSums<T>& sums, std::int64_t shifts, std::int64_t cells, To* unused, To* to) {
    switch (shifts) {
        case 1: return sum_cells<T, To, 1, vectors>(sums, cells, unused, to);
        case 2: return sum_cells<T, To, 2, vectors>(sums, cells, unused, to);
        case 3: return sum_cells<T, To, 3, vectors>(sums, cells, unused, to);
        default: return sum_cells<T, To, most_shifts, vectors>(sums, cells, unused, to);
    }
}

template <class T>
class AdjointChannels {
    using S = Sum<T>;

  public:
    AdjointChannels(const Problem& problem, const T* y, const S* taps, T* x)
        : problem_(problem),
          volume_(volume_of(problem)),
          y_(y),
          taps_(taps),
          x_(x),
          width_(problem.channels),
          weight_width_(problem.tap_channels == 1 ? lanes<S> : problem.channels),
          outer_taps_(axis(0).taps * axis(1).taps),
          kernels_(axis(0).scale * axis(1).scale * outer_taps_),
          form_(volume_, problem.tap_channels, 1, 1) {
        find_window();
        find_inner();
        // With more shifts sums leave too few registers for a second vector.
        paired_ = most_vectors == 2 && width_ % (2 * lanes<S>) == 0 && shifts_ < most_shifts;
    }

    bool run(std::int64_t first, std::int64_t last) {
        if (!form_) return false;
        if (problem_.tap_channels == 1) {
            form_.read(taps_, 0);
            by_passes_ = form_.separable();
        }
        const std::int64_t ring = by_passes_ ? least(axis(1).taps * axis(1).scale, axis(1).samples) : 1;
        tile_ = by_passes_ ? most(32, (std::int64_t{1} << 17) / (ring * width_)) : axis(2).cells;
        Scratch<S> weights(static_cast<std::size_t>(most(kernels_, axis(0).taps * axis(0).scale) * window_ * weight_width_));
        Scratch<bool> is_used(static_cast<std::size_t>(kernels_));
        Scratch<S> carried(static_cast<std::size_t>((width_ + lanes<S>) * most_shifts));
        Scratch<S> unused(static_cast<std::size_t>(width_));
        RowRing<S> passed(ring, by_passes_ ? tile_ * width_ + lanes<S> : 1, 1);
        Scratch<S> sums(static_cast<std::size_t>(by_passes_ ? tile_ * width_ : 1));
        if (!weights || !is_used || !carried || !unused || !passed || !sums || !list_edges()) return false;
        weights_ = weights.get();
        is_used_ = is_used.get();
        carried_ = carried.get();
        unused_ = unused.get();
        passed_ = &passed;
        sums_ = sums.get();
        // What is carried to cells before the first goes nowhere, but is read.
        for (std::int64_t i = 0; i < (width_ + lanes<S>) * most_shifts; ++i) carried_[i] = 0;
        if (by_passes_) {
            pack_lines();
        } else {
            pack();
        }
        const int outer = volume_.first_axis;
        const std::int64_t units = axis(outer).cells;
        while (first < last) {
            const std::int64_t plane = first / units, begin = first % units;
            const std::int64_t end = least(units, begin + (last - first));
            from_ = y_ + plane * axis(0).samples * axis(1).samples * axis(2).samples * width_;
            to_ = x_ + plane * axis(0).cells * axis(1).cells * axis(2).cells * width_;
            const std::int64_t tiles_first = outer == 2 ? begin : 0, tiles_last = outer == 2 ? end : axis(2).cells;
            for (std::int64_t j = tiles_first; j < tiles_last; j += tile_) {
                const std::int64_t stop = least(tiles_last, j + tile_);
                const bool done = outer == 0 ? rows(begin, end, 0, axis(1).cells, j, stop)
                                             : rows(0, 1, outer == 1 ? begin : 0, outer == 1 ? end : 1, j, stop);
                if (!done) return false;
            }
            first += end - begin;
        }
        return true;
    }

  private:
    static constexpr int most_vectors = sizeof(T) < sizeof(S) ? 2 : 1;

    const Axis& axis(int a) const { return volume_.axis[a]; }

    // Samples with any weight, in whole groups of whole steps.
    void find_window() {
        const std::int64_t scale = axis(2).scale;
        const Range used = used_reads(volume_, problem_.tap_channels, taps_);
        const std::int64_t steps = (used.last - used.first + scale - 1) / scale;
        groups_ = (steps + most_shifts - 1) / most_shifts;
        shifts_ = (steps + groups_ - 1) / groups_;
        window_first_ = used.first;
        window_ = groups_ * shifts_ * scale;
    }

    // Cells of a row whose samples all exist, and that no other place along the row stands for.
    void find_inner() {
        const Axis& last = axis(2);
        const std::int64_t lowest = -last.origin, highest = lowest + sampled_cells(last) - 1 + last.taps - 1;
        const std::int64_t lead = first_read(axis(2), 0) + window_first_, tail = lead + window_;
        inner_first_ = lead >= 0 ? 0 : (-lead + last.scale - 1) / last.scale;
        inner_last_ = tail > last.samples ? 0 : (last.samples - tail) / last.scale + 1;
        if (last.border == Border::clamp) {
            if (lowest < 0) inner_first_ = most(inner_first_, 1);
            if (highest > last.cells - 1) inner_last_ = least(inner_last_, last.cells - 1);
        }
        if (last.border == Border::circular) {
            inner_first_ = most(inner_first_, highest - last.cells + 1);
            inner_last_ = least(inner_last_, lowest + last.cells);
        }
        inner_last_ = least(inner_last_, last.cells);
        inner_first_ = least(inner_first_, last.cells);
        inner_last_ = most(inner_last_, inner_first_);
    }

    // Of the other cells, one after the other: where samples lie in a row, and where their weights are.
    bool list_edges() {
        Reads along;
        for (std::int64_t j = 0; j < axis(2).cells; ++j) {
            if (j == inner_first_) j = inner_last_;
            if (j == axis(2).cells) break;
            if (!edge_first_.push(edges_.count()) || !along.list(axis(2), j)) return false;
            for (std::int64_t i = 0; i < along.count(); ++i) {
                const std::int64_t u = read_of(axis(2), along[i].sample % axis(2).scale, along[i].tap) - window_first_;
                if (u < 0 || u >= window_) continue;
                if (!edges_.push({along[i].sample * width_, u * weight_width_})) return false;
            }
        }
        return edge_first_.push(edges_.count());
    }

    // Weights in the order of the samples that are read, for every phase and tap of axes 0 and 1.
    void pack() {
        const std::int64_t taps = axis(2).taps, scale = axis(2).scale, channels = problem_.tap_channels;
        for (std::int64_t i = 0; i < kernels_ * window_ * weight_width_; ++i) weights_[i] = 0;
        for (std::int64_t kernel = 0; kernel < kernels_; ++kernel) {
            const std::int64_t phase = kernel / outer_taps_, tap = kernel % outer_taps_;
            is_used_[kernel] = false;
            for (std::int64_t p = 0; p < scale; ++p) {
                for (std::int64_t k = 0; k < taps; ++k) {
                    const std::int64_t u = read_of(axis(2), p, k) - window_first_;
                    if (u < 0 || u >= window_) continue;
                    for (std::int64_t c = 0; c < weight_width_; ++c) {
                        const std::int64_t of = channels == 1 ? 0 : channel_of(c);
                        const S weight = taps_[(((phase * scale + p) * channels + of) * outer_taps_ + tap) * taps + k];
                        weights_[(kernel * window_ + u) * weight_width_ + c] = weight;
                        is_used_[kernel] = is_used_[kernel] || weight != 0;
                    }
                }
            }
        }
    }

    // Of the weight at a place.
    std::int64_t channel_of(std::int64_t place) const {
        if (!paired_) return place;
        const std::int64_t lane = place % (2 * lanes<S>);
        return place - lane + lane % lanes<S> * 2 + lane / lanes<S>;
    }

    // Of a kernel that is a product of factors those of the last axis, times those of every phase and tap of axis 0.
    void pack_lines() {
        const std::int64_t taps = axis(2).taps, scale = axis(2).scale;
        for (std::int64_t i = 0; i < axis(0).scale * axis(0).taps * window_ * weight_width_; ++i) weights_[i] = 0;
        for (std::int64_t of = 0; of < axis(0).scale * axis(0).taps; ++of) {
            const S deep = form_.factors(0, 0)[of];
            is_used_[of] = deep != 0;
            for (std::int64_t p = 0; p < scale; ++p) {
                for (std::int64_t k = 0; k < taps; ++k) {
                    const std::int64_t u = read_of(axis(2), p, k) - window_first_;
                    if (u < 0 || u >= window_) continue;
                    for (std::int64_t c = 0; c < weight_width_; ++c) {
                        weights_[(of * window_ + u) * weight_width_ + c] = deep * form_.factors(2, p)[k];
                    }
                }
            }
        }
    }

    const T* row_of(std::int64_t n0, std::int64_t n1) const {
        return from_ + (n0 * axis(1).samples + n1) * axis(2).samples * width_;
    }

    // Cells [first, last) of the rows [first1, last1) of the planes [first0, last0).
    bool rows(std::int64_t first0, std::int64_t last0, std::int64_t first1, std::int64_t last1, std::int64_t first, std::int64_t last) {
        for (std::int64_t j0 = first0; j0 < last0; ++j0) {
            if (!depth_.list(axis(0), j0)) return false;
            passed_->forget(1);
            for (std::int64_t j1 = first1; j1 < last1; ++j1) {
                if (!height_.list(axis(1), j1)) return false;
                T* const to = to_ + (j0 * axis(1).cells + j1) * axis(2).cells * width_;
                if (!(by_passes_ ? by_passes(first, last, to) : at_once(first, last, to))) return false;
            }
        }
        return true;
    }

    bool at_once(std::int64_t first, std::int64_t last, T* to) {
        rows_.clear();
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            for (std::int64_t b = 0; b < height_.count(); ++b) {
                const std::int64_t phase = depth_[a].sample % axis(0).scale * axis(1).scale + height_[b].sample % axis(1).scale;
                const std::int64_t kernel = (phase * axis(0).taps + depth_[a].tap) * axis(1).taps + height_[b].tap;
                if (is_used_[kernel] && !add_row(depth_[a].sample, height_[b].sample, kernel)) return false;
            }
        }
        sum_row(first, last, to + first * width_);
        return true;
    }

    // First the last axis and axis 0, of every row of samples for all cells that read it; then axis 1, row by row.
    bool by_passes(std::int64_t first, std::int64_t last, T* to) {
        const std::int64_t numbers = (last - first) * width_;
        terms_.begin(sums_, numbers, false);
        for (std::int64_t b = 0; b < height_.count(); ++b) {
            const std::int64_t n1 = height_[b].sample;
            const S weight = form_.factors(1, n1 % axis(1).scale)[height_[b].tap];
            if (weight == 0) continue;
            const std::int64_t slot = passed_->slot(n1, 0);
            if (passed_->kept(slot) != n1) {
                if (passed_->sum(slot) == terms_.sum()) terms_.flush();
                passed_->kept(slot) = n1;
                if (!first_pass(n1, first, last, passed_->at(slot))) return false;
            }
            passed_->sum(slot) = terms_.sum();
            terms_.add(passed_->at(slot), weight);
        }
        terms_.end();
        store_row(sums_, numbers, to + first * width_);
        return true;
    }

    bool first_pass(std::int64_t n1, std::int64_t first, std::int64_t last, S* to) {
        rows_.clear();
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            const std::int64_t of = depth_[a].sample % axis(0).scale * axis(0).taps + depth_[a].tap;
            if (is_used_[of] && !add_row(depth_[a].sample, n1, of)) return false;
        }
        sum_row(first, last, to);
        return true;
    }

    static void store_row(const S* from, std::int64_t numbers, T* to) {
        std::int64_t i = 0;
        for (; i + lanes<S> <= numbers; i += lanes<S>) store_vector(load_vector(from + i), to + i);
        for (; i < numbers; ++i) store(from[i], to[i]);
    }

    bool add_row(std::int64_t n0, std::int64_t n1, std::int64_t weights) {
        return rows_.push({row_of(n0, n1), weights_ + weights * window_ * weight_width_});
    }

    // What the rows of samples give to the cells [first, last), the first of which goes to `to`.
    template <class To>
    void sum_row(std::int64_t first, std::int64_t last, To* to) const {
        const std::int64_t begin = least(most(first, inner_first_), last), end = most(begin, least(last, inner_last_));
        for (std::int64_t j = first; j < begin; ++j) sum_edge(j, to + (j - first) * width_);
        if (begin < end) {
            const std::int64_t samples = axis(0).samples * axis(1).samples * axis(2).samples * width_;
            const ChannelSums<T> sums{rows_.get(), rows_.count(), samples * static_cast<std::int64_t>(sizeof(T)) >= far_bytes,
                                      (first_read(axis(2), begin) + window_first_) * width_, axis(2).scale, width_, weight_width_, groups_,
                                      carried_};
            To* const unused = reinterpret_cast<To*>(unused_);
            To* const begins = to + (begin - first) * width_;
            if (paired_) {
                sum_cells<most_vectors>(sums, shifts_, end - begin, unused, begins);
            } else {
                sum_cells<1>(sums, shifts_, end - begin, unused, begins);
            }
        }
        for (std::int64_t j = end; j < last; ++j) sum_edge(j, to + (j - first) * width_);
    }

    template <class To>
    void sum_edge(std::int64_t cell, To* to) const {
        const std::int64_t edge = cell < inner_first_ ? cell : cell - (inner_last_ - inner_first_);
        if (paired_) {
            sum_edge<most_vectors>(edge_first_[edge], edge_first_[edge + 1], to);
        } else {
            sum_edge<1>(edge_first_[edge], edge_first_[edge + 1], to);
        }
    }

    template <int vectors, class To>
    void sum_edge(std::int64_t first, std::int64_t last, To* to) const {
        constexpr int n = lanes<S>;
        const bool own_weights = weight_width_ == width_;
        for (std::int64_t c = 0;; c += vectors * n) {
            if (c > width_ - vectors * n) c = width_ - vectors * n;
            Vector<S> value[vectors] = {};
            for (std::int64_t i = first; i < last; ++i) {
                for (std::int64_t r = 0; r < rows_.count(); ++r) {
                    const S* const weights = rows_[r].weights + edges_[i].weight + (own_weights ? c : 0);
                    Vector<S> samples[vectors];
                    load_channels<vectors>(rows_[r].samples + edges_[i].sample + c, samples);
                    for (int v = 0; v < vectors; ++v) value[v] += load_vector(weights + (own_weights ? v * n : 0)) * samples[v];
                }
            }
            interleave<vectors, false>(value, to + c);
            if (c == width_ - vectors * n) break;
        }
    }

    // Where a sample lies in its row, and its weight among those of the row.
    struct EdgeRead {
        std::int64_t sample, weight;
    };

    const Problem& problem_;
    Volume volume_;
    const T* y_;
    const S* taps_;
    T* x_;
    std::int64_t width_, weight_width_, outer_taps_, kernels_;
    std::int64_t window_first_ = 0, window_ = 0, groups_ = 0, shifts_ = 0;
    std::int64_t inner_first_ = 0, inner_last_ = 0;
    std::int64_t tile_ = 0;  // cells of a row that are worked on at once
    Form<S> form_;
    bool by_passes_ = false;
    bool paired_ = false;  // whether vectors of channels go two by two
    const T* from_ = nullptr;
    T* to_ = nullptr;
    S* weights_ = nullptr;
    bool* is_used_ = nullptr;
    S* carried_ = nullptr;
    S* unused_ = nullptr;
    RowRing<S>* passed_ = nullptr;  // rows of samples after the first pass
    S* sums_ = nullptr;             // of these
    Reads depth_, height_;
    List<EdgeRead> edges_;
    List<std::int64_t> edge_first_;
    List<ChannelRow<T>> rows_;
    Terms<S> terms_;
};

}  // namespace
}  // namespace upstroke
