// Gradient in x of planes of one channel, for the scales and kernels that most layers have: rows of samples are taken
// apart into phases in registers, and sums that belong to cells further on are moved there when all rows are in.
#pragma once

#include <cstdint>

#include "adjoint_lines.h"
#include "forms.h"
#include "gather.h"
#include "lanes.h"
#include "list.h"
#include "prefetch.h"
#include "problem.h"
#include "scratch.h"
#include "unzip.h"
#include "volume.h"

namespace upstroke {
namespace {

// A row of samples that a row of cells reads, and its weights: one, or one for every sample that a cell reads.
template <class T>
struct PlaneRow {
    const T* samples;
    const Sum<T>* weights;
};

// Cell j is the sum over t of line t at j + t. Line t at m is the sum over rows and phases p of what the weight at
// scale * t + p says of sample scale * m + p. `samples` of rows are where m = 0 begins, which may be before the row.
template <class T>
struct PlaneGather {
    const PlaneRow<T>* rows;
    std::int64_t count;
    const Sum<T>* line_weights;  // of all rows, where each row has only one
    Sum<T>* lines;
    std::int64_t line;           // numbers of one
};

template <class T, int scale, int shifts, int blocks, bool separable>
UPSTROKE_INLINE void gather_lines_block(const PlaneGather<T>& pass, std::int64_t m, Sum<T>* to) {
    using S = Sum<T>;
    constexpr int n = lanes<S>;
    Vector<S> sums[blocks][shifts];
    for (int b = 0; b < blocks; ++b) {
        for (int t = 0; t < shifts; ++t) sums[b][t] = Vector<S>{};
    }
    if constexpr (separable) {
        Vector<S> samples[blocks][scale];
        for (int b = 0; b < blocks; ++b) {
            for (int p = 0; p < scale; ++p) samples[b][p] = Vector<S>{};
        }
        for (std::int64_t r = 0; r < pass.count; ++r) {
            const Vector<S> weight = all(*pass.rows[r].weights);
            const T* const from = pass.rows[r].samples + m * scale;
            for (int b = 0; b < blocks; ++b) {
                for (int p = 0; p < scale; ++p) samples[b][p] += weight * load_vector(from + (b * scale + p) * n);
            }
        }
        for (int b = 0; b < blocks; ++b) unzip<S, scale>(samples[b]);
        for (int t = 0; t < shifts; ++t) {
            for (int p = 0; p < scale; ++p) {
                const Vector<S> weight = all(pass.line_weights[t * scale + p]);
                for (int b = 0; b < blocks; ++b) sums[b][t] += weight * samples[b][p];
            }
        }
    } else {
        for (std::int64_t r = 0; r < pass.count; ++r) {
            const S* const weights = pass.rows[r].weights;
            const T* const from = pass.rows[r].samples + m * scale;
            Vector<S> phases[blocks][scale];
            for (int b = 0; b < blocks; ++b) load_phases<scale>(from + b * scale * n, phases[b]);
            for (int t = 0; t < shifts; ++t) {
                for (int p = 0; p < scale; ++p) {
                    const Vector<S> weight = all(weights[t * scale + p]);
                    for (int b = 0; b < blocks; ++b) sums[b][t] += weight * phases[b][p];
                }
            }
        }
    }
    for (int t = 0; t < shifts; ++t) {
        for (int b = 0; b < blocks; ++b) store_vector(sums[b][t], to + t * pass.line + b * n);
    }
}

// Lines from `first` to `last`, where all samples exist; `to` is where line 0 at `first` goes. At least one vector.
template <class T, int scale, int shifts, bool separable>
void gather_lines(const PlaneGather<T>& pass, std::int64_t first, std::int64_t last, Sum<T>* to) {
    constexpr int n = lanes<Sum<T>>;
    constexpr int blocks = scale * shifts > 8 ? 1 : scale * shifts > 4 ? 2 : 4;
    std::int64_t m = first;
    for (; m + blocks * n <= last; m += blocks * n) {
        gather_lines_block<T, scale, shifts, blocks, separable>(pass, m, to + (m - first));
    }
    if constexpr (blocks > 2) {
        for (; m + 2 * n <= last; m += 2 * n) gather_lines_block<T, scale, shifts, 2, separable>(pass, m, to + (m - first));
    }
    for (; m < last; m += n) {
        // The last vector ends with the last sample: what it has in common with the one before is made twice.
        if (m > last - n) m = last - n;
        gather_lines_block<T, scale, shifts, 1, separable>(pass, m, to + (m - first));
    }
}

template <class T> using GatherLines = void (*)(const PlaneGather<T>&, std::int64_t, std::int64_t, Sum<T>*);

template <class T, int scale, bool separable>
GatherLines<T> gather_lines_of_shifts(std::int64_t shifts) {
    switch (shifts) {
        case 1: return gather_lines<T, scale, 1, separable>;
        case 2: return gather_lines<T, scale, 2, separable>;
        case 3: return gather_lines<T, scale, 3, separable>;
        case 4: return gather_lines<T, scale, 4, separable>;
        default: return nullptr;
    }
}

template <class T, bool separable>
GatherLines<T> gather_lines_for(std::int64_t scale, std::int64_t shifts) {
    switch (scale) {
        case 1: return gather_lines_of_shifts<T, 1, separable>(shifts);
        case 2: return gather_lines_of_shifts<T, 2, separable>(shifts);
        case 3: return gather_lines_of_shifts<T, 3, separable>(shifts);
        case 4: return gather_lines_of_shifts<T, 4, separable>(shifts);
        case 8: return gather_lines_of_shifts<T, 8, separable>(shifts);
        default: return nullptr;
    }
}

inline std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

template <class T>
class AdjointPlanar {
    using S = Sum<T>;

  public:
    AdjointPlanar(const Problem& problem, const T* y, const S* taps, T* x)
        : problem_(problem),
          volume_(volume_of(problem)),
          y_(y),
          taps_(taps),
          x_(x),
          taps_of_phase_(axis(0).taps * axis(1).taps * axis(2).taps),
          window_(axis(2).scale * axis(2).taps),
          kernels_(axis(0).scale * axis(1).scale * axis(0).taps * axis(1).taps) {
        find_window();
        shifts_ = (used_ + axis(2).scale - 1) / axis(2).scale;
        const Axis& last = axis(2);
        // Of line entries m: those with all their samples, and around them those with any.
        whole_first_ = -floor_divide(lead_, last.scale);
        whole_last_ = floor_divide(last.samples - lead_, last.scale);
        any_first_ = floor_divide(-lead_, last.scale);
        any_last_ = -floor_divide(lead_ - last.samples, last.scale);
    }

    // Whether lines are made a vector at a time; else they would be made number by number.
    bool pays() const {
        return volume_.width == 1 && gather_lines_for<T, false>(axis(2).scale, shifts_) != nullptr &&
               whole_last_ - whole_first_ >= lanes<S>;
    }

    bool run(std::int64_t first, std::int64_t last) {
        Form<S> form(volume_, problem_.tap_channels, 1, 1);
        Scratch<S> weights(static_cast<std::size_t>((kernels_ + 1) * shifts_ * axis(2).scale));
        Scratch<bool> is_used(static_cast<std::size_t>(kernels_));
        line_ = block + 2 * few + shifts_ + 2 * lanes<S>;
        Scratch<S> lines(static_cast<std::size_t>(line_ * shifts_));
        if (!form || !weights || !is_used || !lines) return false;
        weights_ = weights.get();
        is_used_ = is_used.get();
        lines_ = lines.get();
        const int outer = volume_.first_axis;
        const std::int64_t units = outer == 2 ? segments_of(axis(2).cells) : axis(outer).cells;
        while (first < last) {
            const std::int64_t plane = first / units;
            const std::int64_t end = least(last, (plane + 1) * units);
            take_plane(plane, form);
            for (std::int64_t unit = first - plane * units; unit < end - plane * units; ++unit) {
                if (outer == 2) {
                    const std::int64_t begin = unit * segment_cells;
                    if (!row(0, 0, begin, least(axis(2).cells, begin + segment_cells))) return false;
                } else if (outer == 1) {
                    if (!row(0, unit, 0, axis(2).cells)) return false;
                } else {
                    for (std::int64_t j1 = 0; j1 < axis(1).cells; ++j1) {
                        if (!row(unit, j1, 0, axis(2).cells)) return false;
                    }
                }
            }
            first = end;
        }
        return true;
    }

  private:
    static constexpr std::int64_t block = 512;  // cells whose lines stay in the first cache
    static constexpr std::int64_t few = 64;     // places beyond an end that are kept with the cells next to them

    const Axis& axis(int a) const { return volume_.axis[a]; }
    const S* kernel(std::int64_t outer_phase, std::int64_t p2, std::int64_t channel) const {
        return taps_ + ((outer_phase * axis(2).scale + p2) * problem_.tap_channels + channel) * taps_of_phase_;
    }

    // The samples of a row that cell j reads are scale * (j + origin - taps + 1) + u, each by one phase and tap; u runs
    // from the first to the last that any channel has a weight for.
    std::int64_t window_of(std::int64_t phase, std::int64_t tap) const { return axis(2).scale * (axis(2).taps - 1 - tap) + phase; }

    void find_window() {
        const std::int64_t taps = axis(2).taps;
        std::int64_t first = window_, last = 0;
        for (std::int64_t outer = 0; outer < axis(0).scale * axis(1).scale; ++outer) {
            for (std::int64_t p = 0; p < axis(2).scale; ++p) {
                for (std::int64_t c = 0; c < problem_.tap_channels; ++c) {
                    const S* const of_phase = kernel(outer, p, c);
                    for (std::int64_t i = 0; i < taps_of_phase_; ++i) {
                        if (of_phase[i] == 0) continue;
                        const std::int64_t u = window_of(p, i % taps);
                        if (u < first) first = u;
                        if (u >= last) last = u + 1;
                    }
                }
            }
        }
        if (last == 0) first = 0, last = 1;
        window_first_ = first;
        used_ = last - first;
        lead_ = axis(2).scale * (axis(2).origin - taps + 1) + first;
    }

    void take_plane(std::int64_t plane, Form<S>& form) {
        from_ = y_ + plane * axis(0).samples * axis(1).samples * axis(2).samples;
        to_ = x_ + plane * axis(0).cells * axis(1).cells * axis(2).cells;
        const std::int64_t channel = problem_.tap_channels == 1 ? 0 : plane % problem_.channels;
        if (form_ != nullptr && channel == channel_) return;
        channel_ = channel;
        form_ = &form;
        form.read(taps_, channel);
        separable_ = form.separable();
        make_lines_ = separable_ ? gather_lines_for<T, true>(axis(2).scale, shifts_) : gather_lines_for<T, false>(axis(2).scale, shifts_);
        pack();
    }

    void pack() {
        const std::int64_t outer_taps = axis(0).taps * axis(1).taps, taps = axis(2).taps, scale = axis(2).scale;
        const std::int64_t size = shifts_ * scale;
        for (std::int64_t i = 0; i < (kernels_ + 1) * size; ++i) weights_[i] = 0;
        for (std::int64_t of = 0; of < kernels_; ++of) {
            is_used_[of] = false;
            for (std::int64_t p = 0; p < scale; ++p) {
                const S* const line = kernel(of / outer_taps, p, channel_) + of % outer_taps * taps;
                for (std::int64_t k = 0; k < taps; ++k) {
                    if (line[k] == 0) continue;
                    weights_[of * size + window_of(p, k) - window_first_] = line[k];
                    is_used_[of] = true;
                }
            }
        }
        if (!separable_) return;
        for (std::int64_t p = 0; p < scale; ++p) {
            for (std::int64_t k = 0; k < taps; ++k) {
                if (form_->factors(2, p)[k] != 0) weights_[kernels_ * size + window_of(p, k) - window_first_] = form_->factors(2, p)[k];
            }
        }
    }

    // The rows that are read, and their weights.
    bool list_rows() {
        rows_.clear();
        factors_.clear();
        const std::int64_t size = shifts_ * axis(2).scale;
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            const std::int64_t p0 = depth_[a].sample % axis(0).scale;
            for (std::int64_t b = 0; b < height_.count(); ++b) {
                const std::int64_t p1 = height_[b].sample % axis(1).scale;
                const T* const row = from_ + (depth_[a].sample * axis(1).samples + height_[b].sample) * axis(2).samples + lead_;
                if (separable_) {
                    const S factor = form_->factors(0, p0)[depth_[a].tap] * form_->factors(1, p1)[height_[b].tap];
                    if (factor == 0) continue;
                    if (!factors_.push(factor) || !rows_.push({row, nullptr})) return false;
                } else {
                    const std::int64_t of =
                        ((p0 * axis(1).scale + p1) * axis(0).taps + depth_[a].tap) * axis(1).taps + height_[b].tap;
                    if (is_used_[of] && !rows_.push({row, weights_ + of * size})) return false;
                }
            }
        }
        for (std::int64_t r = 0; r < factors_.count(); ++r) rows_[r].weights = &factors_[r];
        return list_next_rows();
    }

    // Where rows of samples begin that the next row of cells reads first.
    bool list_next_rows() {
        next_.clear();
        if (volume_.first_axis == 2 || height_.count() == 0) return true;
        std::int64_t last = 0;
        for (std::int64_t b = 0; b < height_.count(); ++b) last = most(last, height_[b].sample);
        const std::uintptr_t row_bytes = static_cast<std::uintptr_t>(axis(2).samples) * sizeof(T);
        std::int64_t before = -1;
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            if (depth_[a].sample == before) continue;
            before = depth_[a].sample;
            const std::uintptr_t row = address_of(from_) + static_cast<std::uintptr_t>(before * axis(1).samples + last + 1) * row_bytes;
            if (!next_.push(row)) return false;
        }
        return true;
    }

    bool row(std::int64_t j0, std::int64_t j1, std::int64_t first, std::int64_t last) {
        if (!depth_.list(axis(0), j0) || !height_.list(axis(1), j1) || !list_rows()) return false;
        T* const to = to_ + (j0 * axis(1).cells + j1) * axis(2).cells;
        for (std::int64_t begin = first; begin < last; begin += block) cells(begin, least(last, begin + block), to);
        return true;
    }

    void cells(std::int64_t first, std::int64_t last, T* to) {
        const Axis& along = axis(2);
        const std::int64_t lowest = -along.origin, highest = lowest + volume_.cells_out - 1 + along.taps - 1;
        begin_ = first;
        end_ = last;
        if (along.border != Border::zero) {
            if (first == 0 && lowest < 0 && lowest >= -few) begin_ = lowest;
            if (last == along.cells && highest >= last && highest < last + few) end_ = highest + 1;
        }
        // In proportion: what lies together is read in order, which the machine takes as a sign of what comes next.
        const std::int64_t ahead = axis(1).scale * along.scale * static_cast<std::int64_t>(sizeof(T));
        for (std::int64_t r = 0; r < next_.count(); ++r) {
            prefetch(next_[r] + static_cast<std::uintptr_t>(first * ahead), (last - first) * ahead);
        }
        make(begin_, end_ + shifts_ - 1);
        add_shifted(lines_ + (first - begin_), last - first, to + first);
        if (along.border == Border::clamp) {
            if (first == 0 && lowest < 0) gather(0, to);
            if (last == along.cells && highest >= last && (last > 1 || lowest >= 0)) gather(last - 1, to);
        }
        if (along.border == Border::circular) {
            for (std::int64_t j = first; j < last && j <= highest - along.cells; ++j) gather(j, to);
            for (std::int64_t j = most(most(first, highest - along.cells + 1), lowest + along.cells); j < last; ++j) gather(j, to);
        }
    }

    // Entries [first, last) of all lines.
    void make(std::int64_t first, std::int64_t last) {
        const PlaneGather<T> pass{rows_.get(), rows_.count(), weights_ + kernels_ * shifts_ * axis(2).scale, lines_, line_};
        const std::int64_t begin = least(most(first, whole_first_), last), end = most(begin, least(last, whole_last_));
        if (end - begin >= lanes<S>) {
            make_lines_(pass, begin, end, lines_ + (begin - first));
        } else {
            for (std::int64_t m = begin; m < end; ++m) make_entry(pass, m, first);
        }
        for (std::int64_t m = first; m < begin; ++m) make_entry(pass, m, first);
        for (std::int64_t m = end; m < last; ++m) make_entry(pass, m, first);
    }

    void make_entry(const PlaneGather<T>& pass, std::int64_t m, std::int64_t first) {
        for (std::int64_t t = 0; t < shifts_; ++t) lines_[t * line_ + m - first] = m < any_first_ || m >= any_last_ ? 0 : entry(pass, m, t);
    }

    S entry(const PlaneGather<T>& pass, std::int64_t m, std::int64_t t) const {
        const std::int64_t scale = axis(2).scale;
        S sum = 0;
        for (std::int64_t p = 0; p < scale; ++p) {
            const std::int64_t n = m * scale + p + lead_;
            if (n < 0 || n >= axis(2).samples) continue;
            for (std::int64_t r = 0; r < pass.count; ++r) {
                const S weight = separable_ ? *pass.rows[r].weights * pass.line_weights[t * scale + p] : pass.rows[r].weights[t * scale + p];
                sum += weight * load(pass.rows[r].samples[m * scale + p]);
            }
        }
        return sum;
    }

    void add_shifted(const S* lines, std::int64_t count, T* to) const {
        constexpr int n = lanes<S>;
        if (count < n) {
            for (std::int64_t i = 0; i < count; ++i) store(sum_of_lines(lines + i), to[i]);
            return;
        }
        for (std::int64_t i = 0; i < count; i += n) {
            if (i > count - n) i = count - n;
            Vector<S> sum = load_vector(lines + i);
            for (std::int64_t t = 1; t < shifts_; ++t) sum += load_vector(lines + t * (line_ + 1) + i);
            store_vector(sum, to + i);
        }
    }
    S sum_of_lines(const S* lines) const {
        S sum = 0;
        for (std::int64_t t = 0; t < shifts_; ++t) sum += lines[t * (line_ + 1)];
        return sum;
    }

    // A cell with all the places beyond the ends that it stands for.
    void gather(std::int64_t cell, T* to) {
        const Axis& along = axis(2);
        const std::int64_t lowest = -along.origin, highest = lowest + volume_.cells_out - 1 + along.taps - 1;
        std::int64_t first = cell, last = cell, step = 1;
        if (along.border == Border::clamp && cell == 0) first = lowest;
        if (along.border == Border::clamp && cell == along.cells - 1) last = highest;
        if (along.border == Border::circular) {
            first = lowest + (cell - lowest) % along.cells;
            if (first < lowest) first += along.cells;
            last = highest;
            step = along.cells;
        }
        S sum = 0;
        for (std::int64_t place = most(first, lowest); place <= least(last, highest); place += step) sum += at(place);
        store(sum, to[cell]);
    }
    S at(std::int64_t place) const {
        if (place >= begin_ && place < end_) return sum_of_lines(lines_ + (place - begin_));
        const PlaneGather<T> pass{rows_.get(), rows_.count(), weights_ + kernels_ * shifts_ * axis(2).scale, lines_, line_};
        S sum = 0;
        for (std::int64_t t = 0; t < shifts_; ++t) sum += entry(pass, place + t, t);
        return sum;
    }

    const Problem& problem_;
    Volume volume_;
    const T* y_;
    const S* taps_;
    T* x_;
    std::int64_t taps_of_phase_, window_, kernels_;
    std::int64_t window_first_ = 0, used_ = 0;  // of the window
    std::int64_t lead_ = 0;                     // the sample at which line entry 0 begins
    std::int64_t shifts_ = 0;
    std::int64_t whole_first_ = 0, whole_last_ = 0, any_first_ = 0, any_last_ = 0;
    const T* from_ = nullptr;
    T* to_ = nullptr;
    std::int64_t channel_ = 0;
    Form<S>* form_ = nullptr;
    bool separable_ = false;
    GatherLines<T> make_lines_ = nullptr;
    S* weights_ = nullptr;  // of every phase and tap of axes 0 and 1, then those of the line
    bool* is_used_ = nullptr;
    S* lines_ = nullptr;
    std::int64_t line_ = 0;
    std::int64_t begin_ = 0, end_ = 0;  // places whose lines are made
    Reads depth_, height_;
    List<PlaneRow<T>> rows_;
    List<S> factors_;
    List<std::uintptr_t> next_;
};

}  // namespace
}  // namespace upstroke
