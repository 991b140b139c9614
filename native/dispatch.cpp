#include "dispatch.h"

#include <atomic>
#include <cstring>

namespace upstroke {
namespace {

// The compiler's own check, which also asks the operating system whether it saves the wide registers.
#ifdef UPSTROKE_HAS_AVX2
bool runs_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

#ifdef UPSTROKE_HAS_AVX512
// What x86-64-v4 stands for; no processor has these without the smaller parts of it.
bool runs_avx512() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

#ifdef UPSTROKE_HAS_AVX512_BF16
bool runs_avx512_bf16() { return runs_avx512() && __builtin_cpu_supports("avx512bf16"); }
#endif

std::atomic<const Kernels*>& chosen() {
    static std::atomic<const Kernels*> kernels{available_kernels().front()};
    return kernels;
}

}  // namespace

std::vector<const Kernels*> available_kernels() {
#if defined(UPSTROKE_HAS_AVX2) || defined(UPSTROKE_HAS_AVX512)
    __builtin_cpu_init();
#endif
    std::vector<const Kernels*> found;
#ifdef UPSTROKE_HAS_AVX512_BF16
    if (runs_avx512_bf16()) found.push_back(&kernels_avx512_bf16());
#endif
#ifdef UPSTROKE_HAS_AVX512
    if (runs_avx512()) found.push_back(&kernels_avx512());
#endif
#ifdef UPSTROKE_HAS_AVX2
    if (runs_avx2()) found.push_back(&kernels_avx2());
#endif
    found.push_back(&kernels_baseline());
    return found;
}

const Kernels& chosen_kernels() { return *chosen().load(std::memory_order_relaxed); }

bool choose_kernels(const char* instructions) {
    for (const Kernels* kernels : available_kernels()) {
        if (std::strcmp(kernels->instructions, instructions) == 0) {
            chosen().store(kernels, std::memory_order_relaxed);
            return true;
        }
    }
    return false;
}

}  // namespace upstroke
