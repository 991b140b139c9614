// Which cell stands at a place that may lie beyond the edge of the input.
#pragma once

#include <cstdint>

#include "problem.h"

namespace upstroke {
namespace {

// The cell of an axis that a place reads, or -1 where zeros stand.
inline std::int64_t cell_at(const Axis& axis, std::int64_t place) {
    if (place >= 0 && place < axis.cells) return place;
    if (axis.border == Border::clamp) return place < 0 ? 0 : axis.cells - 1;
    if (axis.border == Border::circular) {
        const std::int64_t rest = place % axis.cells;
        return rest < 0 ? rest + axis.cells : rest;
    }
    return -1;
}

}  // namespace
}  // namespace upstroke
