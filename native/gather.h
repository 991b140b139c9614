// Which samples of an axis read a cell, and by which tap: the lists that a gradient in x sums over.
#pragma once

#include <cstdint>

#include "cells.h"
#include "forms.h"
#include "list.h"
#include "problem.h"
#include "volume.h"

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
    // Whether the last list was that of the cell before, every sample moved on by the scale.
    bool moved() const { return moved_; }
    std::int64_t count() const { return reads_.count(); }
    const Read& operator[](std::int64_t index) const { return reads_[index]; }

    // False: there was no memory.
    bool list(const Axis& axis, std::int64_t cell) {
        const bool was_plain = is_plain_ && cell == cell_ + 1;
        is_plain_ = reads_plainly(axis, cell);
        cell_ = cell;
        moved_ = was_plain && is_plain_;
        if (moved_) {
            for (std::int64_t i = 0; i < count(); ++i) reads_[i].sample += axis.scale;
            return true;
        }
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
    // Whether a cell has every tap of every phase, and no other place stands for it.
    static bool reads_plainly(const Axis& axis, std::int64_t cell) {
        const std::int64_t last_owner = cell + axis.origin, first_owner = last_owner - axis.taps + 1;
        if (first_owner < 0 || (last_owner + 1) * axis.scale > axis.samples) return false;
        if (axis.border == Border::clamp) return cell > 0 && cell < axis.cells - 1;
        if (axis.border == Border::zero) return true;
        return cell - axis.cells < -axis.origin && (cell + axis.cells + axis.origin - axis.taps + 1) * axis.scale >= axis.samples;
    }

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
    std::int64_t cell_ = 0;
    bool is_plain_ = false, moved_ = false;
};

// The samples of a row that cell j reads are first_read(j) + u, each by one phase and tap.
inline std::int64_t first_read(const Axis& axis, std::int64_t cell) { return axis.scale * (cell + axis.origin - axis.taps + 1); }
inline std::int64_t read_of(const Axis& axis, std::int64_t phase, std::int64_t tap) {
    return axis.scale * (axis.taps - 1 - tap) + phase;
}

// Of these along the last axis, from the first to the last that any channel has a weight for.
template <class S>
Range used_reads(const Volume& volume, std::int64_t tap_channels, const S* taps) {
    const Axis& along = volume.axis[2];
    const std::int64_t outer_phases = volume.axis[0].scale * volume.axis[1].scale;
    const std::int64_t lines = tap_channels * volume.axis[0].taps * volume.axis[1].taps;
    Range used = {along.scale * along.taps, 0};
    for (std::int64_t outer = 0; outer < outer_phases; ++outer) {
        for (std::int64_t p = 0; p < along.scale; ++p) {
            for (std::int64_t line = 0; line < lines; ++line) {
                for (std::int64_t k = 0; k < along.taps; ++k) {
                    if (*taps++ == 0) continue;
                    const std::int64_t u = read_of(along, p, k);
                    if (u < used.first) used.first = u;
                    if (u >= used.last) used.last = u + 1;
                }
            }
        }
    }
    return used.last == 0 ? Range{0, 1} : used;
}

}  // namespace
}  // namespace upstroke
