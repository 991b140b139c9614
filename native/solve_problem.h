// The numbers of one solve: a banded matrix with a dense border, in factors, and the map along an axis of which it is undone.
#pragma once

#include <cstdint>

#include "problem.h"

namespace upstroke {

// The matrix is [[L U, L across], [down U, corner^-1 + down across]]: L and U banded with m = size - border rows, L with ones
// on its diagonal. `factors` has for each of these rows `below` numbers of L (the nearest to the diagonal first), one over the
// diagonal of U, `above` numbers of U, `border` numbers of across and as many of the column of down; and then corner.
// x and the solution are (outer, size, inner) without gaps.
struct Solve {
    std::int64_t outer;
    std::int64_t size;
    std::int64_t inner;
    std::int64_t below;
    std::int64_t above;
    std::int64_t border;
    Number number;  // of x and the solution, float32 or float64; the factors and all sums are float64
    int threads;
};

inline std::int64_t numbers_of_row(const Solve& solve) { return solve.below + 1 + solve.above + 2 * solve.border; }

inline std::int64_t numbers_of_factors(const Solve& solve) {
    return (solve.size - solve.border) * numbers_of_row(solve) + solve.border * solve.border;
}

}  // namespace upstroke
