#include "apply.h"

#include <cstddef>
#include <new>
#include <vector>

#include "checked.h"
#include "pages.h"
#include "parallel.h"

namespace upstroke {
namespace {

std::int64_t bytes_of_maps(const Problem& problem) {
    return (elements_of_x(problem) / 2 + elements_of_y(problem) / 2) * bytes_of_number(problem);
}

template <class T>
void round_into(const double* sums, std::int64_t count, void* taps) {
    T* const rounded = static_cast<T*>(taps);
    for (std::int64_t tap = 0; tap < count; ++tap) rounded[tap] = static_cast<T>(sums[tap]);
}

}  // namespace

bool apply_upsample(const Kernels& kernels, const Problem& problem, const void* x, const void* taps, void* y) {
    expect_writes(y, elements_of_y(problem) * bytes_of_number(problem));
    const std::int64_t units = kernels.upsample_units(problem);
    const int threads = worthwhile_threads(problem.threads, units, bytes_of_maps(problem));
    return share(units, threads, [&](int, std::int64_t first, std::int64_t last) {
        return kernels.upsample(problem, x, taps, y, first, last);
    });
}

bool apply_adjoint(const Kernels& kernels, const Problem& problem, const void* y, const void* taps, void* x) {
    expect_writes(x, elements_of_x(problem) * bytes_of_number(problem));
    const std::int64_t units = kernels.adjoint_units(problem);
    const int threads = worthwhile_threads(problem.threads, units, bytes_of_maps(problem));
    return share(units, threads, [&](int, std::int64_t first, std::int64_t last) {
        return kernels.adjoint(problem, y, taps, x, first, last);
    });
}

bool apply_taps_gradient(const Kernels& kernels, const Problem& problem, const void* y, const void* x, void* taps) {
    const std::int64_t units = kernels.taps_gradient_units(problem);
    const int threads = worthwhile_threads(problem.threads, units, bytes_of_maps(problem));
    const std::int64_t count = elements_of_taps(problem);
    std::vector<std::vector<double>> sums;
    try {
        for (int thread = 0; thread < threads; ++thread) sums.emplace_back(static_cast<std::size_t>(count), 0.0);
    } catch (const std::bad_alloc&) {
        return false;
    }
    const bool done = share(units, threads, [&](int thread, std::int64_t first, std::int64_t last) {
        return kernels.taps_gradient(problem, y, x, sums[static_cast<std::size_t>(thread)].data(), first, last);
    });
    if (!done) return false;
    // always in the order of the threads, so that the same call gives the same bits
    double* const total = sums.front().data();
    for (int thread = 1; thread < threads; ++thread) {
        const double* const part = sums[static_cast<std::size_t>(thread)].data();
        for (std::int64_t tap = 0; tap < count; ++tap) total[tap] += part[tap];
    }
    if (problem.number == Number::float64) {
        round_into<double>(total, count, taps);
    } else {
        round_into<float>(total, count, taps);
    }
    return true;
}

}  // namespace upstroke
