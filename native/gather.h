// Which samples of an axis read a cell, and by which tap: the lists that a gradient in x sums over.
#pragma once

#include <cstdint>

#include "cells.h"
#include "list.h"
#include "problem.h"

namespace upstroke {
namespace {

struct Read {
    std::int64_t sample;
    std::int64_t tap;
};

// The cells of an axis that own samples: more or fewer than it has, by the excess.
inline std::int64_t sampled_cells(const Axis& axis) { return (axis.samples + axis.scale - 1) / axis.scale; }

// The reads of one cell; at every place that stands for it, samples rise.
class Reads {
  public:
    std::int64_t count() const { return reads_.count(); }
    const Read& operator[](std::int64_t index) const { return reads_[index]; }

    // False: there was no memory.
    bool list(const Axis& axis, std::int64_t cell) {
        reads_.clear();
        const std::int64_t lowest = -axis.origin;
        const std::int64_t highest = lowest + sampled_cells(axis) - 1 + axis.taps - 1;
        std::int64_t first = cell, last = cell, step = 1;
        if (axis.border == Border::clamp && cell == 0) first = lowest;
        if (axis.border == Border::clamp && cell == axis.cells - 1) last = highest;
        if (axis.border == Border::circular) {
            first = lowest + (cell - lowest) % axis.cells;
            if (first < lowest) first += axis.cells;
            last = highest;
            step = axis.cells;
        }
        if (first < lowest) first = lowest;
        if (last > highest) last = highest;
        for (std::int64_t place = first; place <= last; place += step) {
            if (!add(axis, place)) return false;
        }
        return true;
    }

  private:
    bool add(const Axis& axis, std::int64_t place) {
        const std::int64_t owners = sampled_cells(axis);
        for (std::int64_t tap = axis.taps - 1; tap >= 0; --tap) {
            const std::int64_t owner = place - tap + axis.origin;
            if (owner < 0 || owner >= owners) continue;
            const std::int64_t first = owner * axis.scale;
            const std::int64_t end = first + axis.scale < axis.samples ? first + axis.scale : axis.samples;
            for (std::int64_t sample = first; sample < end; ++sample) {
                if (!reads_.push({sample, tap})) return false;
            }
        }
        return true;
    }

    List<Read> reads_;
};

}  // namespace
}  // namespace upstroke
