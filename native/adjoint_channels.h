// Gradient in x where the channels of a cell lie together: vectors run along channels, several cells at a time.
#pragma once

#include <cstdint>

#include "adjoint_lines.h"
#include "forms.h"
#include "gather.h"
#include "lanes.h"
#include "list.h"
#include "problem.h"
#include "scratch.h"
#include "terms.h"
#include "volume.h"

namespace upstroke {
namespace {

// One row of samples that a row of cells reads, from what the first cell reads first, and its weights.
template <class N>
struct WeighedRow {
    const N* samples;
    const Sum<N>* weights;
};

// Cells of `width` channels from neighbouring samples: those that a cell reads lie `width` apart, those of
// the next cell `stride` numbers further on.
template <class N, class T>
struct CellSums {
    const WeighedRow<N>* rows;
    std::int64_t count;         // of rows
    std::int64_t reads;         // neighbouring samples that a cell reads
    std::int64_t width;
    std::int64_t stride;
    std::int64_t weight_width;  // `width`, or a vector where all channels have the same weights
    T* to;
};

template <class N, class T, int cells>
UPSTROKE_INLINE void sum_cells_block(const CellSums<N, T>& sums, std::int64_t cell) {
    using S = Sum<N>;
    for (std::int64_t c = 0;; c += lanes<S>) {
        // The last vector ends with the last channel: what it has in common with the one before is made twice.
        if (c > sums.width - lanes<S>) c = sums.width - lanes<S>;
        Vector<S> values[cells];
        for (int i = 0; i < cells; ++i) values[i] = Vector<S>{};
        for (std::int64_t r = 0; r < sums.count; ++r) {
            const N* from = sums.rows[r].samples + cell * sums.stride + c;
            const S* weights = sums.rows[r].weights + (sums.weight_width == sums.width ? c : 0);
            for (std::int64_t u = 0; u < sums.reads; ++u) {
                const Vector<S> weight = load_vector(weights);
                for (int i = 0; i < cells; ++i) values[i] += weight * load_vector(from + i * sums.stride);
                weights += sums.weight_width;
                from += sums.width;
            }
        }
        for (int i = 0; i < cells; ++i) store_vector(values[i], sums.to + (cell + i) * sums.width + c);
        if (c == sums.width - lanes<S>) break;
    }
}

template <class N, class T>
void sum_cells(const CellSums<N, T>& sums, std::int64_t cells) {
    std::int64_t cell = 0;
    for (; cell + 8 <= cells; cell += 8) sum_cells_block<N, T, 8>(sums, cell);
    for (; cell + 2 <= cells; cell += 2) sum_cells_block<N, T, 2>(sums, cell);
    for (; cell < cells; ++cell) sum_cells_block<N, T, 1>(sums, cell);
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
          kernels_(axis(0).scale * axis(1).scale * axis(0).taps * axis(1).taps),
          window_(axis(2).scale * axis(2).taps),
          form_(volume_, problem.tap_channels, 1, 1),
          weights_(static_cast<std::size_t>(kernels_ * window_ * weight_width_)),
          line_weights_(static_cast<std::size_t>(window_ * lanes<S>)),
          is_used_(static_cast<std::size_t>(kernels_)) {
        block_ = most(8, 4096 / (width_ * axis(2).scale));
    }

    bool run(std::int64_t first, std::int64_t last) {
        if (!form_ || !weights_ || !line_weights_ || !is_used_) return false;
        pack();
        find_inner();
        separable_ = false;
        if (problem_.tap_channels == 1) {
            form_.read(taps_, 0);
            separable_ = form_.separable();
        }
        if (separable_) pack_line();
        Scratch<S> blended(static_cast<std::size_t>(separable_ ? (block_ * axis(2).scale + window_) * width_ + 2 * lanes<S> : 1));
        if (!blended) return false;
        const int outer = volume_.first_axis;
        for (std::int64_t unit = first; unit < last; ++unit) {
            const std::int64_t plane = unit / axis(outer).cells, j = unit % axis(outer).cells;
            from_ = y_ + plane * axis(0).samples * axis(1).samples * axis(2).samples * width_;
            to_ = x_ + plane * axis(0).cells * axis(1).cells * axis(2).cells * width_;
            if (outer == 2) {
                // Neighbouring units are neighbouring cells: as many as there are go together.
                const std::int64_t stop = least(axis(2).cells, j + (last - unit));
                if (!row(0, 0, j, stop, blended.get())) return false;
                unit += stop - j - 1;
            } else if (outer == 1) {
                if (!row(0, j, 0, axis(2).cells, blended.get())) return false;
            } else {
                for (std::int64_t j1 = 0; j1 < axis(1).cells; ++j1) {
                    if (!row(j, j1, 0, axis(2).cells, blended.get())) return false;
                }
            }
        }
        return true;
    }

  private:
    const Axis& axis(int a) const { return volume_.axis[a]; }

    // The samples of one row that cell j reads are scale * (j + origin - taps + 1) + u, each by one phase and tap.
    std::int64_t window_of(std::int64_t phase, std::int64_t tap) const { return axis(2).scale * (axis(2).taps - 1 - tap) + phase; }
    std::int64_t first_read(std::int64_t cell) const { return axis(2).scale * (cell + axis(2).origin - axis(2).taps + 1); }
    std::int64_t kernel_of(const Read& deep, const Read& high) const {
        const std::int64_t phase = deep.sample % axis(0).scale * axis(1).scale + high.sample % axis(1).scale;
        return (phase * axis(0).taps + deep.tap) * axis(1).taps + high.tap;
    }

    // Weights in the order of the samples that are read, for every phase and tap of axes 0 and 1.
    void pack() {
        const std::int64_t outer_taps = axis(0).taps * axis(1).taps, taps = axis(2).taps, scale = axis(2).scale;
        const std::int64_t channels = problem_.tap_channels;
        first_used_ = window_;
        last_used_ = 0;
        for (std::int64_t kernel = 0; kernel < kernels_; ++kernel) {
            const std::int64_t phase = kernel / outer_taps, tap = kernel % outer_taps;
            is_used_[kernel] = false;
            for (std::int64_t p = 0; p < scale; ++p) {
                for (std::int64_t k = 0; k < taps; ++k) {
                    const std::int64_t u = window_of(p, k);
                    S* const to = weights_.get() + (kernel * window_ + u) * weight_width_;
                    bool any = false;
                    for (std::int64_t c = 0; c < weight_width_; ++c) {
                        const std::int64_t of = channels == 1 ? 0 : c;
                        to[c] = taps_[(((phase * scale + p) * channels + of) * outer_taps + tap) * taps + k];
                        any = any || to[c] != 0;
                    }
                    if (!any) continue;
                    is_used_[kernel] = true;
                    first_used_ = least(first_used_, u);
                    last_used_ = most(last_used_, u + 1);
                }
            }
        }
        if (last_used_ == 0) first_used_ = 0;
    }

    void pack_line() {
        for (std::int64_t p = 0; p < axis(2).scale; ++p) {
            for (std::int64_t k = 0; k < axis(2).taps; ++k) {
                for (std::int64_t c = 0; c < lanes<S>; ++c) {
                    line_weights_[window_of(p, k) * lanes<S> + c] = form_.factors(2, p)[k];
                }
            }
        }
    }

    // Cells of a row whose samples all exist, and that no other place along the row stands for.
    void find_inner() {
        const Axis& last = axis(2);
        const std::int64_t lowest = -last.origin, highest = lowest + sampled_cells(last) - 1 + last.taps - 1;
        const std::int64_t lead = first_read(0) + first_used_, tail = first_read(0) + last_used_;
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
    }

    const T* row_of(std::int64_t n0, std::int64_t n1) const {
        return from_ + (n0 * axis(1).samples + n1) * axis(2).samples * width_;
    }

    bool row(std::int64_t j0, std::int64_t j1, std::int64_t first, std::int64_t last, S* blended) {
        if (!depth_.list(axis(0), j0) || !height_.list(axis(1), j1)) return false;
        T* const to = to_ + (j0 * axis(1).cells + j1) * axis(2).cells * width_;
        const std::int64_t begin = least(most(first, inner_first_), last), end = most(begin, least(last, inner_last_));
        for (std::int64_t j = first; j < begin; ++j) {
            if (!edge(j, to)) return false;
        }
        for (std::int64_t j = begin; j < end; j += block_) {
            const std::int64_t stop = least(end, j + block_);
            if (separable_) {
                by_passes(j, stop, to, blended);
            } else if (!at_once(j, stop, to)) {
                return false;
            }
        }
        for (std::int64_t j = end; j < last; ++j) {
            if (!edge(j, to)) return false;
        }
        return true;
    }

    bool at_once(std::int64_t first, std::int64_t last, T* to) {
        const std::int64_t start = first_read(first) + first_used_;
        rows_.clear();
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            for (std::int64_t b = 0; b < height_.count(); ++b) {
                const std::int64_t kernel = kernel_of(depth_[a], height_[b]);
                if (!is_used_[kernel]) continue;
                const WeighedRow<T> row{row_of(depth_[a].sample, height_[b].sample) + start * width_,
                                        weights_.get() + (kernel * window_ + first_used_) * weight_width_};
                if (!rows_.push(row)) return false;
            }
        }
        const CellSums<T, T> sums{rows_.get(), rows_.count(), last_used_ - first_used_, width_, axis(2).scale * width_,
                                  weight_width_, to + first * width_};
        sum_cells(sums, last - first);
        return true;
    }

    // Axis 0 and 1 first, whose sums run along whole rows of samples as they lie in memory, then one row of cells.
    void by_passes(std::int64_t first, std::int64_t last, T* to, S* blended) {
        const std::int64_t start = first_read(first) + first_used_, stop = first_read(last - 1) + last_used_;
        terms_.begin(blended, (stop - start) * width_, false);
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            const S deep = form_.factors(0, depth_[a].sample % axis(0).scale)[depth_[a].tap];
            for (std::int64_t b = 0; b < height_.count(); ++b) {
                const S weight = deep * form_.factors(1, height_[b].sample % axis(1).scale)[height_[b].tap];
                if (weight != 0) terms_.add(row_of(depth_[a].sample, height_[b].sample) + start * width_, weight);
            }
        }
        terms_.end();
        const WeighedRow<S> row{blended, line_weights_.get() + first_used_ * lanes<S>};
        const CellSums<S, T> sums{&row, 1, last_used_ - first_used_, width_, axis(2).scale * width_, lanes<S>, to + first * width_};
        sum_cells(sums, last - first);
    }

    // A cell near an end of its row, sample by sample.
    bool edge(std::int64_t cell, T* to) {
        if (!along_.list(axis(2), cell)) return false;
        for (std::int64_t c = 0;; c += lanes<S>) {
            if (c > width_ - lanes<S>) c = width_ - lanes<S>;
            Vector<S> value = {};
            for (std::int64_t a = 0; a < depth_.count(); ++a) {
                for (std::int64_t b = 0; b < height_.count(); ++b) {
                    const std::int64_t kernel = kernel_of(depth_[a], height_[b]);
                    if (!is_used_[kernel]) continue;
                    const T* const samples = row_of(depth_[a].sample, height_[b].sample) + c;
                    const S* const weights = weights_.get() + kernel * window_ * weight_width_ + (weight_width_ == width_ ? c : 0);
                    for (std::int64_t i = 0; i < along_.count(); ++i) {
                        const std::int64_t u = window_of(along_[i].sample % axis(2).scale, along_[i].tap);
                        if (u < first_used_ || u >= last_used_) continue;
                        value += load_vector(weights + u * weight_width_) * load_vector(samples + along_[i].sample * width_);
                    }
                }
            }
            store_vector(value, to + cell * width_ + c);
            if (c == width_ - lanes<S>) break;
        }
        return true;
    }

    const Problem& problem_;
    Volume volume_;
    const T* y_;
    const S* taps_;
    T* x_;
    std::int64_t width_, weight_width_, kernels_;
    std::int64_t window_;                   // neighbouring samples that a cell may read
    std::int64_t first_used_ = 0, last_used_ = 0;    // of these, those with any weight
    std::int64_t inner_first_ = 0, inner_last_ = 0;  // cells
    std::int64_t block_ = 0;                // cells that are worked on at once in passes
    const T* from_ = nullptr;
    T* to_ = nullptr;
    bool separable_ = false;
    Form<S> form_;
    Scratch<S> weights_, line_weights_;
    Scratch<bool> is_used_;
    Reads depth_, height_, along_;
    List<WeighedRow<T>> rows_;
    Terms<T> terms_;
};

}  // namespace
}  // namespace upstroke
