#include "shuffle_apply.h"

#include <algorithm>
#include <limits>
#include <string>

#include "checked.h"
#include "pages.h"
#include "parallel.h"

namespace upstroke {
namespace {

// Places are sums of a few products of at most this, in bytes of the widest number.
constexpr std::int64_t farthest = std::numeric_limits<std::int64_t>::max() / 64;
constexpr std::int64_t most_threads = 1024;

std::string text(std::int64_t value) { return std::to_string(value); }

void at_least(const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) throw BadNumber(std::string(name) + " must be at least " + text(least) + "; got " + text(value));
}

std::int64_t product(std::int64_t a, std::int64_t b) {
    if (a > farthest / b) throw BadNumber("the map does not fit 64 bits; use a smaller one");
    return a * b;
}

void one_per_axis(const char* name, std::size_t count, std::size_t axes) {
    if (count != axes) {
        throw BadNumber(std::string(name) + " must have " + std::to_string(axes) + " numbers, as cells has; got " + std::to_string(count));
    }
}

// Whoever steps over so many numbers steps past what lies within.
std::int64_t stride_past(const char* name, std::int64_t stride, std::int64_t count, std::int64_t within) {
    at_least(name, stride, within);
    return product(count, stride);
}

void run(void (*kernel)(const Shuffle&, const void*, void*, std::int64_t, std::int64_t), const Shuffle& shuffle, const void* from, void* to,
         std::int64_t written) {
    expect_writes(to, written * shuffle.bytes);
    const std::int64_t units = units_of_shuffle(shuffle);
    const std::int64_t numbers = units * shuffle.cells[2] * shuffle.scale[0] * shuffle.scale[1] * shuffle.scale[2];
    const int threads = worthwhile_threads(shuffle.threads, units, numbers * shuffle.bytes);
    share(units, threads, [&](int, std::int64_t first, std::int64_t last) {
        kernel(shuffle, from, to, first, last);
        return true;
    });
}

}  // namespace

Shuffle checked_shuffle(const ShuffleNumbers& numbers) {
    const std::size_t axes = numbers.cells.size();
    if (axes < 1 || axes > 3) throw BadNumber("cells must have 1 to 3 axes; got " + std::to_string(axes));
    one_per_axis("scale", numbers.scale.size(), axes);
    one_per_axis("sample_strides", numbers.sample_strides.size(), axes);
    at_least("channels", numbers.channels, 1);
    at_least("threads", numbers.threads, 1);
    if (numbers.bytes != 2 && numbers.bytes != 4 && numbers.bytes != 8) {
        throw BadNumber("bytes must be 2, 4 or 8; got " + text(numbers.bytes));
    }

    Shuffle shuffle = {};
    shuffle.channels = numbers.channels;
    shuffle.bytes = static_cast<int>(numbers.bytes);
    shuffle.threads = static_cast<int>(std::min(numbers.threads, most_threads));
    std::int64_t cells = 1, rows = numbers.channels, within = 1;
    for (int axis = 2; axis >= 0; --axis) {
        const int missing = 3 - static_cast<int>(axes);
        const std::size_t given = static_cast<std::size_t>(axis - missing);
        shuffle.cells[axis] = axis < missing ? 1 : numbers.cells[given];
        shuffle.scale[axis] = axis < missing ? 1 : numbers.scale[given];
        at_least("cells", shuffle.cells[axis], 1);
        at_least("scale", shuffle.scale[axis], 1);
        cells = product(cells, shuffle.cells[axis]);
        rows = product(rows, shuffle.scale[axis]);
        const std::int64_t samples = product(shuffle.cells[axis], shuffle.scale[axis]);
        if (axis == 2) {
            within = samples;
        } else {
            // an axis that is not there is not stepped along
            std::int64_t& stride = shuffle.sample_strides[axis + 1];
            stride = axis < missing ? within : numbers.sample_strides[given + 1];
            within = stride_past("sample_strides", stride, samples, within);
        }
    }
    shuffle.sample_strides[0] = numbers.sample_strides[0];
    stride_past("sample_strides", shuffle.sample_strides[0], shuffle.channels, within);
    shuffle.phase_stride = numbers.phase_stride;
    stride_past("phase_stride", shuffle.phase_stride, rows, cells);
    return shuffle;
}

void apply_interleave(const Kernels& kernels, const Shuffle& shuffle, void* phases, void* samples) {
    run(kernels.interleave, shuffle, phases, samples, extent_of_samples(shuffle));
}

void apply_deinterleave(const Kernels& kernels, const Shuffle& shuffle, void* phases, void* samples) {
    run(kernels.deinterleave, shuffle, samples, phases, extent_of_phases(shuffle));
}

}  // namespace upstroke
