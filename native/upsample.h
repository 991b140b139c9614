// Samples from cells: every input row that is needed becomes a line once, all output rows near it read that line.
#pragma once

#include <cstdint>
#include <cstring>

#include "forms.h"
#include "kernels.h"
#include "lines.h"
#include "passes.h"
#include "prefetch.h"
#include "problem.h"
#include "scratch.h"
#include "stream.h"
#include "volume.h"

namespace upstroke {
namespace {

// The lines at as many neighbouring places as axis 1 has taps, each for all taps of axis 0 or, separably, summed over these.
template <class T>
class Window {
    using S = Sum<T>;

  public:
    explicit Window(const Volume& volume)
        : places_(volume.axis[1].taps),
          depth_(volume.axis[0].taps),
          size_(((volume.tile + volume.axis[2].taps - 1) * volume.width + 3 * lanes<S> + 15) / 16 * 16),
          memory_(static_cast<std::size_t>(size_ * places_ * depth_)),
          sum_(static_cast<std::size_t>(size_)),
          lines_(static_cast<std::size_t>(places_)),
          is_loaded_(static_cast<std::size_t>(places_)) {
        if (!*this) return;
        // Vectors read a little past the end of a line; nothing comes of these numbers, but they must be some.
        std::memset(memory_.get(), 0, static_cast<std::size_t>(size_ * places_ * depth_) * sizeof(S));
        std::memset(sum_.get(), 0, static_cast<std::size_t>(size_) * sizeof(S));
        for (std::int64_t k1 = 0; k1 < places_; ++k1) lines_[k1] = memory_.get() + k1 * depth_ * size_;
        forget();
    }

    explicit operator bool() const { return memory_ && sum_ && lines_ && is_loaded_; }

    void forget() {
        for (std::int64_t k1 = 0; k1 < places_; ++k1) is_loaded_[k1] = false;
    }
    // By one place: what tap k1 read is what tap k1 - 1 reads now.
    void move() {
        S* const first = lines_[0];
        for (std::int64_t k1 = 1; k1 < places_; ++k1) {
            lines_[k1 - 1] = lines_[k1];
            is_loaded_[k1 - 1] = is_loaded_[k1];
        }
        lines_[places_ - 1] = first;
        is_loaded_[places_ - 1] = false;
    }
    bool is_loaded(std::int64_t k1) const { return is_loaded_[k1]; }
    void set_loaded(std::int64_t k1) { is_loaded_[k1] = true; }
    // Vectors that begin `shift` numbers after the beginning of a line lie as memory likes them.
    void align(std::int64_t shift) { lead_ = (lanes<S> - shift % lanes<S>) % lanes<S>; }
    std::int64_t lead() const { return lead_; }
    S* line(std::int64_t k1, std::int64_t k0) const { return lines_[k1] + k0 * size_ + lead_; }
    S* sum() const { return sum_.get() + lead_; }

  private:
    std::int64_t places_, depth_, size_, lead_ = 0;
    Scratch<S> memory_, sum_;
    Scratch<S*> lines_;
    Scratch<bool> is_loaded_;
};

template <class T>
class Upsampler {
    using S = Sum<T>;

  public:
    // `bias`: one number for each channel, or nullptr.
    Upsampler(const Problem& problem, const Volume& volume, const S* bias, bool past_caches)
        : volume_(volume),
          past_caches_(past_caches),
          channels_(problem.channels),
          // Where a vector holds several cells and the channels differ, taps lie along it as the bias does.
          vector_taps_(volume.width > 1 && (problem.tap_channels > 1 || (bias && volume.width < lanes<S>))),
          // Where a vector holds several cells, one that begins at any channel must find what follows.
          tap_width_(!vector_taps_ ? 1 : volume.width < lanes<S> ? volume.width + lanes<S> : volume.width),
          tap_channels_(problem.tap_channels > 1 && !vector_taps_ ? problem.channels : 1),
          form_(volume, problem.tap_channels, vector_taps_ ? problem.tap_channels : 1, tap_width_),
          window_(volume),
          phase_size_(volume.tile * volume.width + 4 * lanes<S>),
          phases_(static_cast<std::size_t>(volume.axis[2].scale * phase_size_)),
          slices_(static_cast<std::size_t>(axis(0).taps)),
          terms_(static_cast<std::size_t>(axis(0).taps * axis(1).taps * axis(2).taps)),
          taps_(static_cast<std::size_t>(axis(0).taps * axis(1).taps * axis(2).taps)),
          offsets_(static_cast<std::size_t>(axis(2).scale)),
          bias_(static_cast<std::size_t>(problem.channels + lanes<S>)),
          rows_(static_cast<std::size_t>(axis(1).taps)),
          factors_(static_cast<std::size_t>(axis(1).taps)) {
        pass_.width = volume.width;
        pass_.tap_width = tap_width_;
        pass_.scale = axis(2).scale;
        pass_.lines = terms_.get();
        pass_.taps = taps_.get();
        pass_.offsets = offsets_.get();
        pass_.phases = phases_.get();
        pass_.phase_size = phase_size_;
        if (!bias_) return;
        for (std::int64_t c = 0; c < channels_ + lanes<S>; ++c) bias_[c] = bias ? bias[c % channels_] : 0;
        pass_.bias = bias_.get();
    }

    explicit operator bool() const {
        return form_ && window_ && phases_ && slices_ && terms_ && taps_ && offsets_ && bias_ && rows_ && factors_;
    }

    void run(const T* x, const S* taps, T* y, std::int64_t first, std::int64_t last) {
        const std::int64_t units = units_of_plane(volume_);
        const std::int64_t cells = axis(0).cells * axis(1).cells * axis(2).cells * volume_.width;
        const std::int64_t samples = axis(0).samples * axis(1).samples * axis(2).samples * volume_.width;
        std::int64_t channel = -1;
        while (first < last) {
            const std::int64_t plane = first / units;
            const std::int64_t end = last - plane * units < units ? last - plane * units : units;
            if (plane % tap_channels_ != channel) {
                channel = plane % tap_channels_;
                form_.read(taps, channel);
                find_offsets();
            }
            if (volume_.width == 1) pass_.bias = bias_.get() + plane % channels_;
            run_plane(x + plane * cells, y + plane * samples, {first % units, end});
            first = plane * units + end;
        }
    }

  private:
    // A tap of axis 0 and where its slice of the input begins.
    struct Slice {
        std::int64_t tap;
        const T* from;
    };

    const Axis& axis(int a) const { return volume_.axis[a]; }

    void find_offsets() {
        std::int64_t most = 0;
        for (std::int64_t p = 0; p < axis(2).scale; ++p) {
            offsets_[p] = form_.offsets()[p] * volume_.width;
            if (offsets_[p] > most) most = offsets_[p];
        }
        terms_of_run_ = -1;
        pass_.line_taps = form_.line_taps();
        pass_.centred = axis(2).scale % 2 == 0;
        for (std::int64_t p = 0; p < axis(2).scale; ++p) {
            const std::int64_t later = p < axis(2).scale / 2 ? 0 : volume_.width;
            if (offsets_[p] != offsets_[0] + later) pass_.centred = false;
        }
        needed_ = {axis(1).taps, 0};
        for (std::int64_t p = 0; p < axis(1).scale; ++p) {
            const Range taps = form_.range(1, p);
            if (taps.first < needed_.first) needed_.first = taps.first;
            if (taps.last > needed_.last) needed_.last = taps.last;
        }
        // The largest is a shift that phases have in common as a rule.
        window_.align(most);
    }

    void run_plane(const T* x, T* y, Range units) {
        const Range depth = volume_.first_axis == 0 ? units : Range{0, 1};
        const Range height = volume_.first_axis == 1 ? units : Range{0, axis(1).samples};
        const Range tiles = volume_.first_axis == 2 ? units : Range{0, volume_.tiles};
        for (std::int64_t n0 = depth.first; n0 < depth.last; ++n0) {
            find_slices(x, n0);
            for (std::int64_t tile = tiles.first; tile < tiles.last; ++tile) run_tile(y, n0, height, tile);
        }
    }

    void find_slices(const T* x, std::int64_t n0) {
        const std::int64_t place = n0 / axis(0).scale - axis(0).origin;
        p0_ = n0 % axis(0).scale;
        slice_count_ = 0;
        const Range taps = form_.range(0, p0_);
        for (std::int64_t k0 = taps.first; k0 < taps.last; ++k0) {
            const std::int64_t slice = cell_at(axis(0), place + k0);
            if (slice >= 0) slices_[slice_count_++] = {k0, x + slice * axis(1).cells * axis(2).cells * volume_.width};
        }
    }

    void run_tile(T* y, std::int64_t n0, Range height, std::int64_t tile) {
        const std::int64_t first_cell = tile * volume_.tile;
        const std::int64_t first_sample = first_cell * axis(2).scale;
        const std::int64_t left = volume_.cells_out - first_cell;
        const std::int64_t cells = left < volume_.tile ? left : volume_.tile;
        place2_ = first_cell - axis(2).origin;
        places_ = cells + axis(2).taps - 1;
        pass_.samples = axis(2).samples - first_sample;
        if (pass_.samples > cells * axis(2).scale) pass_.samples = cells * axis(2).scale;
        const std::int64_t row_size = axis(2).samples * volume_.width;
        pass_.to = y + (n0 * axis(1).samples + height.first) * row_size + first_sample * volume_.width;
        std::int64_t p1 = height.first % axis(1).scale;
        std::int64_t place1 = height.first / axis(1).scale - axis(1).origin;
        window_.forget();
        load_window(place1);
        for (std::int64_t n1 = height.first; n1 < height.last; ++n1) {
            run_row(p1, place1);
            if (n1 + 1 == height.last) break;
            pass_.to += row_size;
            if (++p1 == axis(1).scale) {
                p1 = 0;
                ++place1;
                window_.move();
                load_window(place1);
            }
        }
    }

    // All that the rows of one cell read at once: what a line holds was best written some time before it is read.
    void load_window(std::int64_t place1) {
        if (slice_count_ == 0) return;
        for (std::int64_t k1 = needed_.first; k1 < needed_.last; ++k1) {
            const std::int64_t row = cell_at(axis(1), place1 + k1);
            if (row >= 0 && !window_.is_loaded(k1)) load_lines(k1, row);
        }
    }

    void run_row(std::int64_t p1, std::int64_t place1) {
        const Range taps = form_.range(1, p1);
        const bool separable = form_.separable();
        const S* const lines_of_taps = form_.line(p0_, p1, 0, 0);
        const S* const factors = form_.factors(1, p1);
        const std::int64_t line_of_taps = form_.line_taps() * axis(2).scale * tap_width_;
        std::int64_t rows = 0;
        pass_.terms = 0;
        for (std::int64_t k1 = taps.first; k1 < taps.last && slice_count_ > 0; ++k1) {
            if (cell_at(axis(1), place1 + k1) < 0) continue;
            if (separable) {
                rows_[rows] = window_.line(k1, 0) - window_.lead();
                factors_[rows] = factors[k1];
                ++rows;
                continue;
            }
            for (std::int64_t i = 0; i < slice_count_; ++i) {
                const std::int64_t k0 = slices_[i].tap;
                add_terms(window_.line(k1, k0), lines_of_taps + (k0 * axis(1).taps + k1) * line_of_taps);
            }
        }
        if (separable && rows == 1 && factors_[0] == 1) {
            add_terms(rows_[0] + window_.lead(), form_.line(0, 0, 0, 0));
        } else if (separable && rows > 0) {
            sum_lines<S>(rows_.get(), factors_.get(), rows, window_.lead() + places_ * volume_.width,
                         window_.sum() - window_.lead());
            add_terms(window_.sum(), form_.line(0, 0, 0, 0));
        }
        if (pass_.terms != terms_of_run_) {
            terms_of_run_ = pass_.terms;
            run_pass_ = pass_for<T>(pass_, vector_taps_, past_caches_);
        }
        run_pass_(pass_);
    }

    void add_terms(const S* line, const S* taps) {
        for (std::int64_t k2 = 0; k2 < form_.line_taps(); ++k2) {
            terms_[pass_.terms] = line + k2 * volume_.width;
            taps_[pass_.terms] = taps + k2 * axis(2).scale * tap_width_;
            ++pass_.terms;
        }
    }

    void load_lines(std::int64_t k1, std::int64_t row) {
        window_.set_loaded(k1);
        for (std::int64_t i = 0; i < slice_count_; ++i) {
            const std::int64_t k0 = slices_[i].tap;
            const T* const from = slices_[i].from + row * axis(2).cells * volume_.width;
            if (!form_.separable() || axis(0).scale * axis(0).taps == 1) {
                fill_line<Write::set, T>(window_.line(k1, k0), from, axis(2), place2_, places_, volume_.width, 1);
            } else if (i == 0) {
                fill_line<Write::set_scaled, T>(window_.line(k1, 0), from, axis(2), place2_, places_, volume_.width,
                                                form_.factors(0, p0_)[k0]);
            } else {
                fill_line<Write::add_scaled, T>(window_.line(k1, 0), from, axis(2), place2_, places_, volume_.width,
                                                form_.factors(0, p0_)[k0]);
            }
            if (row + 1 < axis(1).cells) prefetch_line(from + axis(2).cells * volume_.width);
        }
    }

    // What the tile reads of the next row, without its border.
    void prefetch_line(const T* row) {
        const std::int64_t first = place2_ > 0 ? place2_ : 0;
        const std::int64_t last = place2_ + places_ < axis(2).cells ? place2_ + places_ : axis(2).cells;
        if (first >= last) return;
        prefetch(address_of(row + first * volume_.width), (last - first) * volume_.width * static_cast<std::int64_t>(sizeof(T)));
    }

    const Volume& volume_;
    const bool past_caches_;
    const std::int64_t channels_;
    const bool vector_taps_;
    const std::int64_t tap_width_, tap_channels_;
    Form<S> form_;
    Window<T> window_;
    const std::int64_t phase_size_;
    Scratch<T> phases_;
    Scratch<Slice> slices_;
    Scratch<const S*> terms_, taps_;
    Scratch<std::int64_t> offsets_;
    Scratch<S> bias_;
    Scratch<const S*> rows_;
    Scratch<S> factors_;
    Pass<T> pass_;
    // What runs it: chosen anew where another number of terms meets.
    PassFunction<T> run_pass_ = nullptr;
    std::int64_t terms_of_run_ = -1;
    Range needed_ = {0, 0};  // taps of axis 1 that any phase has
    // Of the slice and the tile that are worked on.
    std::int64_t p0_ = 0, slice_count_ = 0, place2_ = 0, places_ = 0;
};

// Whether an output is so large, and every row and tile of it lies so, that whole cache lines are written past the caches.
template <class T>
bool goes_past_caches(const Volume& volume, const T* y) {
    // From here on it is faster, even with someone who reads the output right after.
    constexpr std::int64_t enough = std::int64_t{1} << 23;
    constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
    const std::int64_t row = volume.axis[2].samples * volume.width;
    const std::int64_t rows = volume.planes * volume.axis[0].samples * volume.axis[1].samples;
    return row * rows >= enough / static_cast<std::int64_t>(sizeof(T)) && row % line == 0 &&
           volume.tile * volume.axis[2].scale * volume.width % line == 0 && (volume.width == 1 || volume.width % line == 0) &&
           reinterpret_cast<std::uintptr_t>(y) % 64 == 0;
}

template <class T>
bool upsample_as(const Problem& problem, const void* x, const void* taps, const void* bias, void* y, std::int64_t first,
                 std::int64_t last) {
    const Volume volume = volume_of(problem);
    const bool past_caches = goes_past_caches(volume, static_cast<const T*>(y));
    Upsampler<T> upsampler(problem, volume, static_cast<const Sum<T>*>(bias), past_caches);
    if (!upsampler) return false;
    upsampler.run(static_cast<const T*>(x), static_cast<const Sum<T>*>(taps), static_cast<T*>(y), first, last);
    if (past_caches) end_stream();
    return true;
}

std::int64_t upsample_units(const Problem& problem) {
    const Volume volume = volume_of(problem);
    return volume.planes * units_of_plane(volume);
}

bool upsample(const Problem& problem, const void* x, const void* taps, const void* bias, void* y, std::int64_t first,
              std::int64_t last) {
    switch (problem.number) {
        case Number::float32: return upsample_as<float>(problem, x, taps, bias, y, first, last);
        case Number::float64: return upsample_as<double>(problem, x, taps, bias, y, first, last);
        case Number::bfloat16: return upsample_as<bfloat16>(problem, x, taps, bias, y, first, last);
    }
    return false;
}

}  // namespace
}  // namespace upstroke
