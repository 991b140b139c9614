// Taps as they come into the order in which passes over lines read them, without those that are zero throughout.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "problem.h"
#include "scratch.h"
#include "volume.h"

namespace upstroke {
namespace {

template <class S> constexpr S rounding();
template <> constexpr float rounding<float>() { return FLT_EPSILON; }
template <> constexpr double rounding<double>() { return DBL_EPSILON; }

// The kernel of one channel, or with a `width` above 1 those of all channels side by side.
template <class S>
class Form {
  public:
    // `channels` of taps are taken together; each tap is then repeated along `width` numbers, channel after channel.
    Form(const Volume& volume, std::int64_t tap_channels, std::int64_t channels, std::int64_t width)
        : volume_(volume),
          tap_channels_(tap_channels),
          channels_(channels),
          width_(width),
          taps_of_phase_(axis(0).taps * axis(1).taps * axis(2).taps),
          ranges_(static_cast<std::size_t>(axis(0).scale + axis(1).scale + axis(2).scale)),
          offsets_(static_cast<std::size_t>(axis(2).scale)),
          packed_(static_cast<std::size_t>(axis(0).scale * axis(1).scale * axis(2).scale * taps_of_phase_ * width)),
          factors_(static_cast<std::size_t>(axis(0).scale * axis(0).taps + axis(1).scale * axis(1).taps +
                                            axis(2).scale * axis(2).taps)) {}

    explicit operator bool() const { return ranges_ && offsets_ && packed_ && factors_; }

    void read(const S* taps, std::int64_t channel) {
        taps_ = taps + channel * taps_of_phase_;
        find_ranges();
        separable_ = width_ == 1 && passes_pay() && factorise();
        if (separable_) {
            pack_line();
        } else {
            pack();
        }
    }

    bool separable() const { return separable_; }
    Range range(int a, std::int64_t phase) const { return ranges_[first_phase(a) + phase]; }
    // Of every phase of the last axis, how many taps its line is moved by, and how many taps then follow.
    const std::int64_t* offsets() const { return offsets_.get(); }
    std::int64_t line_taps() const { return line_taps_; }
    // (line_taps, scale, width) of one line.
    const S* line(std::int64_t p0, std::int64_t p1, std::int64_t k0, std::int64_t k1) const {
        if (separable_) return packed_.get();
        const std::int64_t row = ((p0 * axis(1).scale + p1) * axis(0).taps + k0) * axis(1).taps + k1;
        return packed_.get() + row * line_taps_ * axis(2).scale * width_;
    }
    // Of a separable form: the taps of one phase of axis 0 or 1.
    const S* factors(int a, std::int64_t phase) const { return factors_.get() + first_factor(a) + phase * axis(a).taps; }

  private:
    const Axis& axis(int a) const { return volume_.axis[a]; }
    std::int64_t first_phase(int a) const { return (a > 0 ? axis(0).scale : 0) + (a > 1 ? axis(1).scale : 0); }
    std::int64_t first_factor(int a) const {
        return (a > 0 ? axis(0).scale * axis(0).taps : 0) + (a > 1 ? axis(1).scale * axis(1).taps : 0);
    }
    const S* kernel(std::int64_t p0, std::int64_t p1, std::int64_t p2, std::int64_t channel) const {
        const std::int64_t phase = (p0 * axis(1).scale + p1) * axis(2).scale + p2;
        return taps_ + (phase * tap_channels_ + channel) * taps_of_phase_;
    }
    S tap(const std::int64_t* p, const std::int64_t* k) const {
        return kernel(p[0], p[1], p[2], 0)[(k[0] * axis(1).taps + k[1]) * axis(2).taps + k[2]];
    }

    void find_ranges() {
        for (int a = 0; a < 3; ++a) {
            for (std::int64_t p = 0; p < axis(a).scale; ++p) ranges_[first_phase(a) + p] = {axis(a).taps, 0};
        }
        for (std::int64_t p0 = 0; p0 < axis(0).scale; ++p0) {
            for (std::int64_t p1 = 0; p1 < axis(1).scale; ++p1) {
                for (std::int64_t p2 = 0; p2 < axis(2).scale; ++p2) {
                    for (std::int64_t c = 0; c < channels_; ++c) widen(p0, p1, p2, kernel(p0, p1, p2, c));
                }
            }
        }
        line_taps_ = 0;
        for (std::int64_t p = 0; p < axis(2).scale; ++p) {
            const Range found = range(2, p);
            if (found.last - found.first > line_taps_) line_taps_ = found.last - found.first;
        }
        // All phases of a line take equally many taps, so that they run side by side; none may begin too late for that.
        for (std::int64_t p = 0; p < axis(2).scale; ++p) {
            const std::int64_t latest = axis(2).taps - line_taps_;
            offsets_[p] = range(2, p).first < latest ? range(2, p).first : latest;
        }
    }

    void widen(std::int64_t p0, std::int64_t p1, std::int64_t p2, const S* kernel) {
        Range& depth = ranges_[p0];
        Range& height = ranges_[first_phase(1) + p1];
        Range& width = ranges_[first_phase(2) + p2];
        for (std::int64_t k0 = 0; k0 < axis(0).taps; ++k0) {
            for (std::int64_t k1 = 0; k1 < axis(1).taps; ++k1) {
                for (std::int64_t k2 = 0; k2 < axis(2).taps; ++k2) {
                    if (*kernel++ == 0) continue;
                    widen(depth, k0);
                    widen(height, k1);
                    widen(width, k2);
                }
            }
        }
    }
    static void widen(Range& range, std::int64_t k) {
        if (k < range.first) range.first = k;
        if (k >= range.last) range.last = k + 1;
    }

    std::int64_t most_taps(int a) const {
        std::int64_t most = 0;
        for (std::int64_t p = 0; p < axis(a).scale; ++p) {
            const Range found = range(a, p);
            if (found.last - found.first > most) most = found.last - found.first;
        }
        return most;
    }

    // Multiply-adds for each sample, one more for every line that a pass writes and the next one reads, and one for the wait
    // between them.
    bool passes_pay() const {
        if (axis(0).taps * axis(0).scale * axis(1).taps * axis(1).scale == 1) return false;
        const double n0 = static_cast<double>(most_taps(0)), n1 = static_cast<double>(most_taps(1)),
                     n2 = static_cast<double>(most_taps(2));
        const double s1 = static_cast<double>(axis(1).scale), s2 = static_cast<double>(axis(2).scale);
        const double depth = axis(0).taps > 1 ? (n0 + 1) / (s1 * s2) : 0;
        return n2 + (n1 + 1) / s2 + depth + 1 < n0 * n1 * n2;
    }

    // Whether taps are the product of one factor for each axis. What they may differ by is a few roundings of the
    // largest tap, which is what the sums of the two ways differ by anyway.
    bool factorise() {
        std::int64_t p_most[3] = {0, 0, 0}, k_most[3] = {0, 0, 0};
        S most = 0;
        std::int64_t p[3], k[3];
        for (p[0] = 0; p[0] < axis(0).scale; ++p[0]) {
            for (p[1] = 0; p[1] < axis(1).scale; ++p[1]) {
                for (p[2] = 0; p[2] < axis(2).scale; ++p[2]) {
                    for (k[0] = 0; k[0] < axis(0).taps; ++k[0]) {
                        for (k[1] = 0; k[1] < axis(1).taps; ++k[1]) {
                            for (k[2] = 0; k[2] < axis(2).taps; ++k[2]) {
                                const S size = std::fabs(tap(p, k));
                                if (!std::isfinite(size)) return false;
                                if (size <= most) continue;
                                most = size;
                                for (int a = 0; a < 3; ++a) {
                                    p_most[a] = p[a];
                                    k_most[a] = k[a];
                                }
                            }
                        }
                    }
                }
            }
        }
        if (!(most >= (sizeof(S) == 4 ? FLT_MIN : DBL_MIN))) return false;
        const S pivot = tap(p_most, k_most);
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                p[b] = p_most[b];
                k[b] = k_most[b];
            }
            for (p[a] = 0; p[a] < axis(a).scale; ++p[a]) {
                for (k[a] = 0; k[a] < axis(a).taps; ++k[a]) {
                    const S value = tap(p, k);
                    factors_[first_factor(a) + p[a] * axis(a).taps + k[a]] = a == 2 ? value : value / pivot;
                }
            }
        }
        const S allowed = 4 * rounding<S>() * most;
        for (p[0] = 0; p[0] < axis(0).scale; ++p[0]) {
            for (p[1] = 0; p[1] < axis(1).scale; ++p[1]) {
                for (p[2] = 0; p[2] < axis(2).scale; ++p[2]) {
                    for (k[0] = 0; k[0] < axis(0).taps; ++k[0]) {
                        for (k[1] = 0; k[1] < axis(1).taps; ++k[1]) {
                            const S outer = factors(0, p[0])[k[0]] * factors(1, p[1])[k[1]];
                            for (k[2] = 0; k[2] < axis(2).taps; ++k[2]) {
                                if (!(std::fabs(tap(p, k) - outer * factors(2, p[2])[k[2]]) <= allowed)) return false;
                            }
                        }
                    }
                }
            }
        }
        return true;
    }

    void pack_line() {
        S* to = packed_.get();
        for (std::int64_t k2 = 0; k2 < line_taps_; ++k2) {
            for (std::int64_t p2 = 0; p2 < axis(2).scale; ++p2) *to++ = factors(2, p2)[offsets_[p2] + k2];
        }
    }

    void pack() {
        S* to = packed_.get();
        for (std::int64_t p0 = 0; p0 < axis(0).scale; ++p0) {
            for (std::int64_t p1 = 0; p1 < axis(1).scale; ++p1) {
                for (std::int64_t row = 0; row < axis(0).taps * axis(1).taps; ++row) {
                    for (std::int64_t k2 = 0; k2 < line_taps_; ++k2) {
                        for (std::int64_t p2 = 0; p2 < axis(2).scale; ++p2) {
                            const std::int64_t at = row * axis(2).taps + offsets_[p2] + k2;
                            for (std::int64_t c = 0; c < width_; ++c) *to++ = kernel(p0, p1, p2, c % channels_)[at];
                        }
                    }
                }
            }
        }
    }

    const Volume& volume_;
    std::int64_t tap_channels_, channels_, width_, taps_of_phase_;
    const S* taps_ = nullptr;
    std::int64_t line_taps_ = 0;
    bool separable_ = false;
    Scratch<Range> ranges_;
    Scratch<std::int64_t> offsets_;
    Scratch<S> packed_;
    Scratch<S> factors_;
};

}  // namespace
}  // namespace upstroke
