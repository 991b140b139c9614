#include "solve_apply.h"

#include <algorithm>
#include <limits>
#include <string>

#include "checked.h"
#include "pages.h"
#include "parallel.h"

namespace upstroke {
namespace {

// Places are sums of a few products of at most this, in bytes of the widest number and for the widest panel.
constexpr std::int64_t farthest = std::numeric_limits<std::int64_t>::max() / 2048;
constexpr std::int64_t most_threads = 1024;

void at_least(const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) {
        throw BadNumber(std::string(name) + " must be at least " + std::to_string(least) + "; got " + std::to_string(value));
    }
}

void at_most_size(const char* name, std::int64_t value, std::int64_t size) {
    at_least(name, value, 0);
    if (value > size) {
        throw BadNumber(std::string(name) + " must be at most the size " + std::to_string(size) + "; got " + std::to_string(value));
    }
}

std::int64_t product(std::int64_t a, std::int64_t b) {
    if (a > farthest / b) throw BadNumber("the map does not fit 64 bits; use a smaller one");
    return a * b;
}

}  // namespace

Solve checked_solve(const SolveNumbers& numbers) {
    at_least("outer", numbers.outer, 1);
    at_least("size", numbers.size, 1);
    at_least("inner", numbers.inner, 1);
    product(product(numbers.outer, numbers.size), numbers.inner);
    at_most_size("below", numbers.below, numbers.size);
    at_most_size("above", numbers.above, numbers.size);
    at_most_size("border", numbers.border, numbers.size);
    // at most so many numbers in a row of the factors
    product(numbers.size, 5 * std::min(numbers.size, farthest / 5) + 1);
    if (numbers.number != 0 && numbers.number != 1) {
        throw BadNumber("number must be 0 (float32) or 1 (float64); got " + std::to_string(numbers.number));
    }
    at_least("threads", numbers.threads, 1);
    return Solve{numbers.outer, numbers.size,  numbers.inner,
                 numbers.below, numbers.above, numbers.border, static_cast<Number>(numbers.number),
                 static_cast<int>(std::min(numbers.threads, most_threads))};
}

bool apply_solve(const Kernels& kernels, const Solve& solve, const void* x, const double* factors, void* y) {
    const std::int64_t bytes = solve.outer * solve.size * solve.inner * (solve.number == Number::float64 ? 8 : 4);
    expect_writes(y, bytes);
    const std::int64_t units = kernels.solve_units(solve);
    return share(units, worthwhile_threads(solve.threads, units, bytes), [&](int, std::int64_t first, std::int64_t last) {
        return kernels.solve(solve, x, factors, y, first, last);
    });
}

}  // namespace upstroke
