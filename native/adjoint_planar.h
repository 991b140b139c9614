// Gradient in x of planes of one channel, for the scales and kernels that most layers have: rows of samples are taken
// apart into phases in registers, and sums that belong to cells further on are moved there when all rows are in.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <utility>

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
    std::int64_t lead, samples;  // m = 0 begins with this sample of a row, which has so many
    std::int64_t line;           // numbers of a line
};

// Lanes whose sample of phase p exists, where the first lane is cell m.
template <class S, int... i>
UPSTROKE_INLINE typename VectorOf<S>::index existing(std::int64_t first, std::int64_t samples, int scale, std::integer_sequence<int, i...>) {
    using Index = typename VectorOf<S>::index;
    using Place = decltype(Index{}[0] + 0);
    // As near to the row as tells on which side of its ends every lane is.
    constexpr std::int64_t far = std::int64_t{1} << 20;
    const std::int64_t left = samples - first;
    const Index places = Index{i...} * scale;
    const Index begin = Index{} - static_cast<Place>(first < -far ? -far : first);
    const Index end = Index{} + static_cast<Place>(left < -far ? -far : left > far ? far : left);
    return (places >= begin) & (places < end);
}

// `ends`: some samples lie beyond the row, where there are numbers of something else.
template <class T, int scale, int shifts, int blocks, bool separable, bool ends>
UPSTROKE_INLINE void gather_lines_block(const PlaneGather<T>& pass, std::int64_t m, Sum<T>* to) {
    using S = Sum<T>;
    constexpr int n = lanes<S>;
    Vector<S> sums[blocks][shifts];
    for (int b = 0; b < blocks; ++b) {
        for (int t = 0; t < shifts; ++t) sums[b][t] = Vector<S>{};
    }
    const auto drop = [&](std::int64_t at, Vector<S>* phases) {
        if constexpr (ends) {
            for (int p = 0; p < scale; ++p) {
                const auto mask = existing<S>(at * scale + p + pass.lead, pass.samples, scale, std::make_integer_sequence<int, n>());
                phases[p] = mask ? phases[p] : Vector<S>{};
            }
        }
    };
    if constexpr (separable) {
        // Two numbers of one word come apart while they are loaded, others when all rows are in.
        constexpr bool apart = sizeof(T) < sizeof(S);
        Vector<S> phases[blocks][scale];
        for (int b = 0; b < blocks; ++b) {
            for (int p = 0; p < scale; ++p) phases[b][p] = Vector<S>{};
        }
        for (std::int64_t r = 0; r < pass.count; ++r) {
            const Vector<S> weight = all(*pass.rows[r].weights);
            const T* const from = pass.rows[r].samples + m * scale;
            for (int b = 0; b < blocks; ++b) {
                Vector<S> samples[scale];
                if constexpr (apart) load_phases<scale>(from + b * scale * n, samples);
                for (int p = 0; p < scale; ++p) {
                    if constexpr (!apart) samples[p] = load_vector(from + (b * scale + p) * n);
                    phases[b][p] += weight * samples[p];
                }
            }
        }
        for (int b = 0; b < blocks; ++b) {
            if constexpr (!apart) unzip<S, scale>(phases[b]);
            drop(m + b * n, phases[b]);
        }
        for (int t = 0; t < shifts; ++t) {
            for (int p = 0; p < scale; ++p) {
                const Vector<S> weight = all(pass.line_weights[t * scale + p]);
                for (int b = 0; b < blocks; ++b) sums[b][t] += weight * phases[b][p];
            }
        }
    } else {
        for (std::int64_t r = 0; r < pass.count; ++r) {
            const S* const weights = pass.rows[r].weights;
            const T* const from = pass.rows[r].samples + m * scale;
            Vector<S> phases[blocks][scale];
            for (int b = 0; b < blocks; ++b) {
                load_phases<scale>(from + b * scale * n, phases[b]);
                drop(m + b * n, phases[b]);
            }
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

// Entries [first, last) of all lines, and up to a vector more, of which [whole_first, whole_last) have all their samples;
// `to` is where line 0 at `first` goes.
template <class T, int scale, int shifts, bool separable>
void gather_lines(const PlaneGather<T>& pass, std::int64_t first, std::int64_t last, std::int64_t whole_first, std::int64_t whole_last,
                  Sum<T>* to) {
    constexpr int n = lanes<Sum<T>>;
    constexpr int blocks = scale * shifts > 8 ? 1 : scale * shifts > 4 ? 2 : 4;
    std::int64_t m = first;
    for (; m < last && m < whole_first; m += n) gather_lines_block<T, scale, shifts, 1, separable, true>(pass, m, to + (m - first));
    for (; m < last && m + blocks * n <= whole_last; m += blocks * n) {
        gather_lines_block<T, scale, shifts, blocks, separable, false>(pass, m, to + (m - first));
    }
    for (; m < last && m + n <= whole_last; m += n) gather_lines_block<T, scale, shifts, 1, separable, false>(pass, m, to + (m - first));
    for (; m < last; m += n) gather_lines_block<T, scale, shifts, 1, separable, true>(pass, m, to + (m - first));
}

template <class T>
using GatherLines = void (*)(const PlaneGather<T>&, std::int64_t, std::int64_t, std::int64_t, std::int64_t, Sum<T>*);

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

template <class S> constexpr S smallest();
template <> constexpr float smallest<float>() { return FLT_MIN; }
template <> constexpr double smallest<double>() { return DBL_MIN; }

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
          kernels_(axis(0).scale * axis(1).scale * axis(0).taps * axis(1).taps),
          numbers_(volume_.planes * axis(0).samples * axis(1).samples * axis(2).samples) {
        const Axis& last = axis(2);
        const Range used = used_reads(volume_, problem.tap_channels, taps);
        window_first_ = used.first;
        shifts_ = (used.last - used.first + last.scale - 1) / last.scale;
        lead_ = first_read(last, 0) + used.first;
        // Of line entries m: those with all their samples, and around them those with any.
        whole_first_ = -floor_divided(lead_, last.scale);
        whole_last_ = floor_divided(last.samples - lead_, last.scale);
        any_first_ = floor_divided(-lead_, last.scale);
        any_last_ = -floor_divided(lead_ - last.samples, last.scale);
    }

    // Whether lines are made a vector at a time; else they would be made number by number.
    bool pays() const {
        return volume_.width == 1 && gather_lines_for<T, false>(axis(2).scale, shifts_) != nullptr &&
               true;
    }

    bool run(std::int64_t first, std::int64_t last) {
        Scratch<S> weights(static_cast<std::size_t>(kernels_ * shifts_ * axis(2).scale));
        Scratch<S> factors(static_cast<std::size_t>(kernels_));
        Scratch<bool> is_used(static_cast<std::size_t>(kernels_));
        line_ = block + 2 * few + shifts_ + 2 * lanes<S>;
        Scratch<S> lines(static_cast<std::size_t>(line_ * shifts_));
        if (!weights || !factors || !is_used || !lines) return false;
        weights_ = weights.get();
        factors_ = factors.get();
        is_used_ = is_used.get();
        lines_ = lines.get();
        const int outer = volume_.first_axis;
        const std::int64_t units = outer == 2 ? segments_of(axis(2).cells) : axis(outer).cells;
        while (first < last) {
            const std::int64_t plane = first / units;
            const std::int64_t end = least(last, (plane + 1) * units);
            take_plane(plane);
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

    void take_plane(std::int64_t plane) {
        from_ = y_ + plane * axis(0).samples * axis(1).samples * axis(2).samples;
        to_ = x_ + plane * axis(0).cells * axis(1).cells * axis(2).cells;
        depth_cell_ = -1;
        const std::int64_t channel = problem_.tap_channels == 1 ? 0 : plane % problem_.channels;
        if (channel == channel_) return;
        channel_ = channel;
        pack();
        line_weights_ = find_factors();
        make_lines_ = line_weights_ ? gather_lines_for<T, true>(axis(2).scale, shifts_) : gather_lines_for<T, false>(axis(2).scale, shifts_);
    }

    void pack() {
        const std::int64_t outer_taps = axis(0).taps * axis(1).taps, taps = axis(2).taps, scale = axis(2).scale;
        const std::int64_t size = shifts_ * scale;
        for (std::int64_t i = 0; i < kernels_ * size; ++i) weights_[i] = 0;
        for (std::int64_t of = 0; of < kernels_; ++of) {
            is_used_[of] = false;
            for (std::int64_t p = 0; p < scale; ++p) {
                const S* const line = kernel(of / outer_taps, p, channel_) + of % outer_taps * taps;
                for (std::int64_t k = 0; k < taps; ++k) {
                    if (line[k] == 0) continue;
                    weights_[of * size + read_of(axis(2), p, k) - window_first_] = line[k];
                    is_used_[of] = true;
                }
            }
        }
    }

    // Where the weights of every row are those of one row times a factor: these of the one row, else null. What they may
    // differ by is a few roundings of the largest, which is what the sums of the two ways differ by anyway.
    const S* find_factors() {
        const std::int64_t size = shifts_ * axis(2).scale;
        std::int64_t pivot = 0;
        for (std::int64_t i = 1; i < kernels_ * size; ++i) {
            if (!(std::fabs(weights_[i]) <= std::fabs(weights_[pivot]))) pivot = i;
        }
        const S most = std::fabs(weights_[pivot]), allowed = 4 * rounding<S>() * most;
        if (!(most >= smallest<S>()) || !std::isfinite(most)) return nullptr;
        const S* const line = weights_ + pivot / size * size;
        for (std::int64_t of = 0; of < kernels_; ++of) {
            factors_[of] = weights_[of * size + pivot % size] / weights_[pivot];
            for (std::int64_t i = 0; i < size; ++i) {
                if (!(std::fabs(weights_[of * size + i] - factors_[of] * line[i]) <= allowed)) return nullptr;
            }
        }
        return line;
    }

    // The rows that are read, and their weights.
    bool list_rows() {
        rows_.clear();
        const std::int64_t size = shifts_ * axis(2).scale;
        for (std::int64_t a = 0; a < depth_.count(); ++a) {
            for (std::int64_t b = 0; b < height_.count(); ++b) {
                const Read deep = depth_[a], high = height_[b];
                const std::int64_t phase = deep.sample % axis(0).scale * axis(1).scale + high.sample % axis(1).scale;
                const std::int64_t of = (phase * axis(0).taps + deep.tap) * axis(1).taps + high.tap;
                if (!is_used_[of]) continue;
                const T* const row = from_ + (deep.sample * axis(1).samples + high.sample) * axis(2).samples + lead_;
                if (!rows_.push({row, line_weights_ ? factors_ + of : weights_ + of * size})) return false;
            }
        }
        row_first_ = numbers_;
        row_last_ = 0;
        for (std::int64_t r = 0; r < rows_.count(); ++r) {
            row_first_ = least(row_first_, rows_[r].samples - lead_ - y_);
            row_last_ = most(row_last_, rows_[r].samples - lead_ - y_);
        }
        return true;
    }

    bool row(std::int64_t j0, std::int64_t j1, std::int64_t first, std::int64_t last) {
        if (!height_.list(axis(1), j1)) return false;
        if (j0 == depth_cell_ && height_.moved()) {
            const std::int64_t step = axis(1).scale * axis(2).samples;
            for (std::int64_t r = 0; r < rows_.count(); ++r) rows_[r].samples += step;
            row_first_ += step;
            row_last_ += step;
        } else {
            if (j0 != depth_cell_ && !depth_.list(axis(0), j0)) return false;
            depth_cell_ = j0;
            if (!list_rows()) return false;
        }
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
        if (numbers_ * static_cast<std::int64_t>(sizeof(T)) >= far_bytes && volume_.first_axis < 2) {
            // What the next row of cells reads first, in proportion.
            const std::int64_t ahead = axis(1).scale * along.scale * static_cast<std::int64_t>(sizeof(T));
            const std::int64_t next = (row_last_ + along.samples) * static_cast<std::int64_t>(sizeof(T));
            const std::uintptr_t from = address_of(y_) + static_cast<std::uintptr_t>(next + first * ahead);
            prefetch(from, (last - first) * ahead);
            prefetch_far(from + static_cast<std::uintptr_t>(along.cells * ahead), (last - first) * ahead);
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
        const PlaneGather<T> pass = gather_pass();
        // Around a row there are other rows, but around the map there is nothing.
        const bool is_before = row_first_ + first * axis(2).scale + lead_ >= 0;
        const bool is_behind = row_last_ + (last + lanes<S>) * axis(2).scale + lead_ <= numbers_;
        const std::int64_t begin = is_before ? first : least(most(first, whole_first_), last);
        const std::int64_t end = is_behind ? last : most(begin, least(last, whole_last_ - lanes<S> + 1));
        if (begin < end) make_lines_(pass, begin, end, whole_first_, whole_last_, lines_ + (begin - first));
        for (std::int64_t m = first; m < begin; ++m) make_entry(pass, m, first);
        for (std::int64_t m = end; m < last; ++m) make_entry(pass, m, first);
    }

    PlaneGather<T> gather_pass() const {
        return {rows_.get(), rows_.count(), line_weights_, lead_, axis(2).samples, line_};
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
                const S weight = pass.line_weights ? *pass.rows[r].weights * pass.line_weights[t * scale + p] : pass.rows[r].weights[t * scale + p];
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
        const PlaneGather<T> pass = gather_pass();
        S sum = 0;
        for (std::int64_t t = 0; t < shifts_; ++t) sum += entry(pass, place + t, t);
        return sum;
    }

    const Problem& problem_;
    Volume volume_;
    const T* y_;
    const S* taps_;
    T* x_;
    std::int64_t taps_of_phase_, kernels_, numbers_;
    std::int64_t row_first_ = 0, row_last_ = 0;  // of the samples' rows that are read, where the first and the last begin
    std::int64_t window_first_ = 0;             // of the samples that a cell may read, the first with a weight
    std::int64_t lead_ = 0;                     // the sample at which line entry 0 begins
    std::int64_t shifts_ = 0;
    std::int64_t whole_first_ = 0, whole_last_ = 0, any_first_ = 0, any_last_ = 0;
    const T* from_ = nullptr;
    T* to_ = nullptr;
    std::int64_t channel_ = -1, depth_cell_ = -1;
    GatherLines<T> make_lines_ = nullptr;
    S* weights_ = nullptr;             // of every phase and tap of axes 0 and 1
    const S* line_weights_ = nullptr;  // where all these are one line times
    S* factors_ = nullptr;             // of each
    bool* is_used_ = nullptr;
    S* lines_ = nullptr;
    std::int64_t line_ = 0;
    std::int64_t begin_ = 0, end_ = 0;  // places whose lines are made
    Reads depth_, height_;
    List<PlaneRow<T>> rows_;
};

}  // namespace
}  // namespace upstroke
