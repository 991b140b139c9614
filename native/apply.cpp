#include "apply.h"

#include <cstddef>
#include <functional>
#include <new>
#include <vector>

#include "checked.h"
#include "kernel_form.h"
#include "pages.h"
#include "parallel.h"

namespace upstroke {
namespace {

std::int64_t bytes_of_maps(const Problem& problem) {
    return (elements_of_x(problem) / 2 + elements_of_y(problem) / 2) * bytes_of_number(problem);
}

// The kernel as taps, of the kind of number that sums are of.
class Taps {
  public:
    Taps(const Problem& problem, const void* kernel)
        : bytes_(static_cast<std::size_t>(elements_of_taps(problem) * bytes_of_tap(problem))) {
        if (problem.number == Number::float64) {
            taps_of_kernel(problem, static_cast<const double*>(kernel), reinterpret_cast<double*>(bytes_.data()));
        } else {
            taps_of_kernel(problem, static_cast<const float*>(kernel), reinterpret_cast<float*>(bytes_.data()));
        }
    }
    const void* data() const { return bytes_.data(); }

  private:
    std::vector<unsigned char> bytes_;
};

// What needs memory beyond the maps; false where there was none.
bool with_memory(const std::function<bool()>& work) {
    try {
        return work();
    } catch (const std::bad_alloc&) {
        return false;
    }
}

}  // namespace

bool apply_upsample(const Kernels& kernels, const Problem& problem, const void* x, const void* kernel, const void* bias, void* y) {
    return with_memory([&] {
        const Taps taps(problem, kernel);
        expect_writes(y, elements_of_y(problem) * bytes_of_number(problem));
        const std::int64_t units = kernels.upsample_units(problem);
        const int threads = worthwhile_threads(problem.threads, units, bytes_of_maps(problem));
        return share(units, threads, [&](int, std::int64_t first, std::int64_t last) {
            return kernels.upsample(problem, x, taps.data(), bias, y, first, last);
        });
    });
}

bool apply_adjoint(const Kernels& kernels, const Problem& problem, const void* y, const void* kernel, void* x) {
    return with_memory([&] {
        const Taps taps(problem, kernel);
        expect_writes(x, elements_of_x(problem) * bytes_of_number(problem));
        const std::int64_t units = kernels.adjoint_units(problem);
        const int threads = worthwhile_threads(problem.threads, units, bytes_of_maps(problem));
        return share(units, threads, [&](int, std::int64_t first, std::int64_t last) {
            return kernels.adjoint(problem, y, taps.data(), x, first, last);
        });
    });
}

bool apply_kernel_gradient(const Kernels& kernels, const Problem& problem, const void* y, const void* x, void* kernel) {
    return with_memory([&] {
        const std::int64_t units = kernels.taps_gradient_units(problem);
        const int threads = worthwhile_threads(problem.threads, units, bytes_of_maps(problem));
        const std::int64_t count = elements_of_taps(problem);
        std::vector<std::vector<double>> sums;
        for (int thread = 0; thread < threads; ++thread) sums.emplace_back(static_cast<std::size_t>(count), 0.0);
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
            kernel_of_taps(problem, total, static_cast<double*>(kernel));
        } else {
            kernel_of_taps(problem, total, static_cast<float*>(kernel));
        }
        return true;
    });
}

}  // namespace upstroke
