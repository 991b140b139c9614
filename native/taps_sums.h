// The sums behind a gradient in the taps: vectors of partial sums, emptied into float64 before they grow inexact.
#pragma once

#include <cstdint>

#include "gather.h"
#include "lanes.h"
#include "problem.h"
#include "scratch.h"
#include "volume.h"

namespace upstroke {
namespace {

// For every phase and tap a few vectors. Where lanes are channels the vectors follow one another, the last one ending
// with the last channel; else there is one vector for every channel, and its lanes are parts of one sum.
template <class S>
class TapsSums {
  public:
    TapsSums(const Problem& problem, const Volume& volume, std::int64_t vectors, bool lanes_are_channels, double* sums)
        : tap_channels_(problem.tap_channels),
          channels_(problem.channels),
          lanes_are_channels_(lanes_are_channels),
          outer_phases_(volume.axis[0].scale * volume.axis[1].scale),
          outer_taps_(volume.axis[0].taps * volume.axis[1].taps),
          phases_(volume.axis[2].scale),
          taps_(volume.axis[2].taps),
          step_(vectors * lanes<S>),
          parts_(static_cast<std::size_t>(outer_phases_ * outer_taps_ * phases_ * taps_ * step_)),
          sums_(sums) {
        if (parts_) clear();
    }

    explicit operator bool() const { return static_cast<bool>(parts_); }

    // From a phase to the next and from a tap to the next.
    std::int64_t row() const { return taps_ * step_; }
    std::int64_t step() const { return step_; }
    S* at(std::int64_t outer_phase, std::int64_t outer_tap) const {
        return parts_.get() + (outer_phase * outer_taps_ + outer_tap) * phases_ * taps_ * step_;
    }

    // `added` more numbers are in every partial sum. Some hundreds of the same size in float32 lose a millionth.
    void count(std::int64_t added, std::int64_t channel) {
        added_ += added;
        if (added_ >= 512) empty(channel);
    }

    void empty(std::int64_t channel) {
        if (added_ == 0) return;
        added_ = 0;
        const S* part = parts_.get();
        for (std::int64_t outer_phase = 0; outer_phase < outer_phases_; ++outer_phase) {
            for (std::int64_t outer_tap = 0; outer_tap < outer_taps_; ++outer_tap) {
                for (std::int64_t p = 0; p < phases_; ++p) {
                    double* const to = sums_ + (outer_phase * phases_ + p) * tap_channels_ * outer_taps_ * taps_ + outer_tap * taps_;
                    for (std::int64_t k = 0; k < taps_; ++k) {
                        empty_one(part, to + k, channel);
                        part += step_;
                    }
                }
            }
        }
        clear();
    }

  private:
    void clear() {
        const std::int64_t numbers = outer_phases_ * outer_taps_ * phases_ * taps_ * step_;
        for (std::int64_t i = 0; i < numbers; ++i) parts_[i] = 0;
    }

    void empty_one(const S* part, double* to, std::int64_t channel) const {
        const std::int64_t taps_of_phase = outer_taps_ * taps_;
        if (tap_channels_ > 1 && lanes_are_channels_) {
            for (std::int64_t c = 0; c < channels_; ++c) to[c * taps_of_phase] += static_cast<double>(part[place_of(c)]);
            return;
        }
        if (lanes_are_channels_) {
            for (std::int64_t c = 0; c < channels_; ++c) *to += static_cast<double>(part[place_of(c)]);
            return;
        }
        for (std::int64_t v = 0; v < step_ / lanes<S>; ++v) {
            double sum = 0;
            for (int i = 0; i < lanes<S>; ++i) sum += static_cast<double>(part[v * lanes<S> + i]);
            to[(tap_channels_ == 1 ? 0 : channel + v) * taps_of_phase] += sum;
        }
    }

    // Where a channel's partial sum is: the last vector shares channels with the one before, which has them.
    std::int64_t place_of(std::int64_t channel) const {
        const std::int64_t whole = channels_ / lanes<S> * lanes<S>;
        return channel < whole ? channel : step_ - (channels_ - channel);
    }

    std::int64_t tap_channels_, channels_;
    bool lanes_are_channels_;
    std::int64_t outer_phases_, outer_taps_, phases_, taps_, step_;
    std::int64_t added_ = 0;
    Scratch<S> parts_;
    double* sums_;
};

}  // namespace
}  // namespace upstroke
