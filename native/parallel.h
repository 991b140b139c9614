// Units of work shared among threads that live for one call.
#pragma once

#include <cstdint>
#include <functional>

namespace upstroke {

// How many threads pay: at most `threads`, at most one a unit, and each with enough bytes to be worth its start.
int worthwhile_threads(int threads, std::int64_t units, std::int64_t bytes);

// Gives each of `threads` its own range [first, last) of the units, the caller's thread taking the first; work says
// false where it had no memory, and so does this then. Where the system gives no more threads, fewer do the work.
//
// The threads are started and joined within the call. A pool that outlived it would be gone in a forked child, which
// would wait for it without end (PyTorch's data loaders fork), and would compete with PyTorch's own pool.
bool share(std::int64_t units, int threads, const std::function<bool(int thread, std::int64_t first, std::int64_t last)>& work);

}  // namespace upstroke
