// Solve along one axis for many indices of the others at once, side by side in panels that stay in the cache.
#pragma once

#include <cstdint>

#include "lanes.h"
#include "scratch.h"
#include "solve_problem.h"

namespace upstroke {
namespace {

// A step waits for the one before it, so several vectors are on their way at once.
constexpr int panel_vectors = 4;
constexpr int panel = panel_vectors * lanes<double>;

inline std::int64_t solve_units(const Solve& solve) { return (solve.outer * solve.inner + panel - 1) / panel; }

// Row of the panel minus factor times another row.
UPSTROKE_INLINE void subtract(Vector<double> (&sums)[panel_vectors], double factor, const double* row) {
    const Vector<double> every = all(factor);
    for (int v = 0; v < panel_vectors; ++v) sums[v] -= every * load_vector(row + v * lanes<double>);
}
UPSTROKE_INLINE void fetch(Vector<double> (&sums)[panel_vectors], const double* row) {
    for (int v = 0; v < panel_vectors; ++v) sums[v] = load_vector(row + v * lanes<double>);
}
UPSTROKE_INLINE void put(const Vector<double> (&sums)[panel_vectors], double* row) {
    for (int v = 0; v < panel_vectors; ++v) store_vector(sums[v], row + v * lanes<double>);
}

// `work` has size + border rows of a panel; the last ones are for the border's own product.
inline void sweep(const Solve& solve, const double* factors, double* work) {
    const std::int64_t q = solve.border, m = solve.size - q, step = numbers_of_row(solve);
    double* const last = work + m * panel;
    Vector<double> sums[panel_vectors];
    for (std::int64_t i = 0; i < m; ++i) {
        const double* const row = factors + i * step;
        double* const here = work + i * panel;
        fetch(sums, here);
        const std::int64_t reach = i < solve.below ? i : solve.below;
        // the nearest one last, because it is the one that is waited for
        for (std::int64_t d = reach; d > 0; --d) subtract(sums, row[d - 1], here - d * panel);
        put(sums, here);
        const double* const down = row + solve.below + 1 + solve.above + q;
        for (std::int64_t k = 0; k < q; ++k) {
            // what has died away on the way round the axis is stored as 0
            if (down[k] == 0) continue;
            Vector<double> rest[panel_vectors];
            fetch(rest, last + k * panel);
            const Vector<double> every = all(down[k]);
            for (int v = 0; v < panel_vectors; ++v) rest[v] -= every * sums[v];
            put(rest, last + k * panel);
        }
    }
    const double* const corner = factors + m * step;
    double* const product = last + q * panel;
    for (std::int64_t k = 0; k < q; ++k) {
        for (int v = 0; v < panel_vectors; ++v) sums[v] = all(0.0);
        for (std::int64_t j = 0; j < q; ++j) subtract(sums, -corner[k * q + j], last + j * panel);
        put(sums, product + k * panel);
    }
    for (std::int64_t k = 0; k < q; ++k) {
        fetch(sums, product + k * panel);
        put(sums, last + k * panel);
    }
    for (std::int64_t i = m - 1; i >= 0; --i) {
        const double* const row = factors + i * step;
        double* const here = work + i * panel;
        fetch(sums, here);
        const double* const across = row + solve.below + 1 + solve.above;
        for (std::int64_t k = 0; k < q; ++k) {
            if (across[k] != 0) subtract(sums, across[k], last + k * panel);
        }
        const double* const upper = row + solve.below + 1;
        const std::int64_t reach = m - 1 - i < solve.above ? m - 1 - i : solve.above;
        for (std::int64_t d = reach; d > 0; --d) subtract(sums, upper[d - 1], here + d * panel);
        const Vector<double> pivot = all(row[solve.below]);
        for (int v = 0; v < panel_vectors; ++v) sums[v] *= pivot;
        put(sums, here);
    }
}

// The panel from x and back into y: its columns are the indices `first` and so on of the other axes, in C order.
template <class T>
void read_panel(const Solve& solve, const T* x, std::int64_t first, std::int64_t columns, double* work) {
    for (std::int64_t i = 0; i < solve.size * panel && columns < panel; ++i) work[i] = 0;
    std::int64_t column = 0;
    while (column < columns) {
        const std::int64_t at = first + column, outer = at / solve.inner, within = at % solve.inner;
        const std::int64_t left = columns - column, run = solve.inner - within < left ? solve.inner - within : left;
        const T* const from = x + outer * solve.size * solve.inner + within;
        double* const to = work + column;
        for (std::int64_t i = 0; i < solve.size; ++i) {
            for (std::int64_t j = 0; j < run; ++j) to[i * panel + j] = static_cast<double>(from[i * solve.inner + j]);
        }
        column += run;
    }
}

template <class T>
void write_panel(const Solve& solve, const double* work, std::int64_t first, std::int64_t columns, T* y) {
    std::int64_t column = 0;
    while (column < columns) {
        const std::int64_t at = first + column, outer = at / solve.inner, within = at % solve.inner;
        const std::int64_t left = columns - column, run = solve.inner - within < left ? solve.inner - within : left;
        T* const to = y + outer * solve.size * solve.inner + within;
        const double* const from = work + column;
        for (std::int64_t i = 0; i < solve.size; ++i) {
            for (std::int64_t j = 0; j < run; ++j) to[i * solve.inner + j] = static_cast<T>(from[i * panel + j]);
        }
        column += run;
    }
}

template <class T>
bool solve_panels(const Solve& solve, const T* x, const double* factors, T* y, std::int64_t first, std::int64_t last) {
    const Scratch<double> work(static_cast<std::size_t>((solve.size + solve.border) * panel));
    if (!work) return false;
    const std::int64_t all_columns = solve.outer * solve.inner;
    for (std::int64_t unit = first; unit < last; ++unit) {
        const std::int64_t column = unit * panel, left = all_columns - column;
        const std::int64_t columns = left < panel ? left : panel;
        read_panel(solve, x, column, columns, work.get());
        sweep(solve, factors, work.get());
        write_panel(solve, work.get(), column, columns, y);
    }
    return true;
}

inline bool solve_along(const Solve& solve, const void* x, const double* factors, void* y, std::int64_t first, std::int64_t last) {
    if (solve.number == Number::float64) {
        return solve_panels(solve, static_cast<const double*>(x), factors, static_cast<double*>(y), first, last);
    }
    return solve_panels(solve, static_cast<const float*>(x), factors, static_cast<float*>(y), first, last);
}

}  // namespace
}  // namespace upstroke
