#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace upstroke {
namespace {

// Starting and joining a thread takes some 20 microseconds, in which one core moves about this much.
constexpr std::int64_t bytes_worth_a_thread = 1 << 19;

std::int64_t start_of(std::int64_t units, int threads, int thread) {
    const std::int64_t each = units / threads;
    const std::int64_t rest = units % threads;
    return each * thread + std::min<std::int64_t>(rest, thread);
}

}  // namespace

int worthwhile_threads(int threads, std::int64_t units, std::int64_t bytes) {
    const std::int64_t paying = std::max<std::int64_t>(1, bytes / bytes_worth_a_thread);
    return static_cast<int>(std::max<std::int64_t>(1, std::min({static_cast<std::int64_t>(threads), units, paying})));
}

bool share(std::int64_t units, int threads, const std::function<bool(int, std::int64_t, std::int64_t)>& work) {
    std::atomic<bool> done{true};
    const auto run = [&](int thread) {
        const std::int64_t first = start_of(units, threads, thread);
        const std::int64_t last = start_of(units, threads, thread + 1);
        if (first < last && !work(thread, first, last)) done = false;
    };
    std::vector<std::thread> others;
    int started = 1;
    try {
        others.reserve(static_cast<std::size_t>(threads - 1));
        for (; started < threads; ++started) others.emplace_back(run, started);
    } catch (const std::exception&) {
        // no thread or no memory for one: the caller's thread does what is left
    }
    run(0);
    for (int thread = started; thread < threads; ++thread) run(thread);
    for (std::thread& other : others) other.join();
    return done;
}

}  // namespace upstroke
