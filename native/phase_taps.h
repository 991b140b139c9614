// Which taps the kernel gives to the phases of every axis.
#pragma once

#include <cstdint>

#include "problem.h"
#include "scratch.h"
#include "volume.h"

namespace upstroke {
namespace {

class PhaseTaps {
  public:
    explicit PhaseTaps(const Volume& volume)
        : first_{0, volume.axis[0].scale, volume.axis[0].scale + volume.axis[1].scale},
          ranges_(static_cast<std::size_t>(first_[2] + volume.axis[2].scale)) {
        if (!*this) return;
        for (int a = 0; a < 3; ++a) {
            for (std::int64_t p = 0; p < volume.axis[a].scale; ++p) ranges_[first_[a] + p] = taps_of_phase(volume.axis[a], p);
        }
    }

    explicit operator bool() const { return static_cast<bool>(ranges_); }
    // Of an axis: the ranges of its phases, one after the other.
    const Range* of(int a) const { return ranges_.get() + first_[a]; }

  private:
    std::int64_t first_[3];
    Scratch<Range> ranges_;
};

}  // namespace
}  // namespace upstroke
