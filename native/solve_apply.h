// One whole solve: numbers from outside become a Solve, or an error; panels are shared among threads.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "solve_problem.h"

namespace upstroke {

struct SolveNumbers {
    std::int64_t outer;
    std::int64_t size;
    std::int64_t inner;
    std::int64_t below;
    std::int64_t above;
    std::int64_t border;
    std::int64_t number;
    std::int64_t threads;
};

// Throws BadNumber where a number means nothing or a place has no 64 bits.
Solve checked_solve(const SolveNumbers& numbers);

// False: there was no memory. x and y may be the same map.
bool apply_solve(const Kernels& kernels, const Solve& solve, const void* x, const double* factors, void* y);

}  // namespace upstroke
