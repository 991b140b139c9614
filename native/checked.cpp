#include "checked.h"

#include <limits>
#include <string>

namespace upstroke {
namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
// Places are sums of a few of these products, which must not overflow either.
constexpr std::int64_t farthest = largest / 8;
constexpr std::int64_t most_threads = 1024;
constexpr std::int64_t widest_element = 8;

[[noreturn]] void refuse(const std::string& message) { throw BadNumber(message); }

std::string text(std::int64_t value) { return std::to_string(value); }

void at_least_one(const char* name, std::int64_t value) {
    if (value < 1) refuse(std::string(name) + " must be at least 1; got " + text(value));
}

// The product of two numbers of at least 1, refused where it passes the limit.
std::int64_t product(std::int64_t a, std::int64_t b, std::int64_t limit, const char* what) {
    if (a > limit / b) refuse(std::string(what) + " does not fit 64 bits; use a smaller map");
    return a * b;
}

void same_axes(const char* name, const std::vector<std::int64_t>& values, std::size_t axes) {
    if (values.size() != axes) {
        refuse(std::string(name) + " must have one number for each of " + std::to_string(axes) + " axes, as cells has; got " +
               std::to_string(values.size()));
    }
}

Axis checked_axis(const Numbers& numbers, std::size_t axis) {
    at_least_one("cells", numbers.cells[axis]);
    at_least_one("samples", numbers.samples[axis]);
    at_least_one("scale", numbers.scale[axis]);
    at_least_one("kernel", numbers.kernel[axis]);
    const std::int64_t crop = numbers.crop[axis];
    if (crop < -farthest || crop > farthest) refuse("crop must be within 2^60 of 0; got " + text(crop));
    const std::int64_t border = numbers.border[axis];
    if (border < 0 || border > 2) refuse("border must be 0 (zero), 1 (clamp) or 2 (circular); got " + text(border));
    const char* reach = "the reach of an axis";
    // farthest is an eighth of what 64 bits hold, so this sum of four does not overflow
    if (numbers.cells[axis] > farthest || numbers.kernel[axis] > farthest) {
        refuse(std::string(reach) + " does not fit 64 bits; use a smaller map");
    }
    const std::int64_t places = numbers.cells[axis] + numbers.kernel[axis] + (crop < 0 ? -crop : crop) + 2;
    product(numbers.scale[axis], places, farthest, reach);
    return axis_of(numbers.cells[axis], numbers.samples[axis], numbers.scale[axis], numbers.kernel[axis], crop,
                   static_cast<Border>(border));
}

// Elements of (outer, inner, one number per axis), small enough for eight bytes each.
std::int64_t elements(std::int64_t outer, std::int64_t inner, const Problem& problem, std::int64_t Axis::*size, const char* what) {
    const std::int64_t limit = largest / widest_element;
    std::int64_t count = product(outer, inner, limit, what);
    for (int axis = 0; axis < problem.axes; ++axis) count = product(count, problem.axis[axis].*size, limit, what);
    return count;
}

std::int64_t phases(const Problem& problem) {
    return elements(1, 1, problem, &Axis::scale, "the number of phases");
}

}  // namespace

std::int64_t elements_of_x(const Problem& problem) {
    return elements(problem.batch, problem.channels, problem, &Axis::cells, "the map of cells");
}

std::int64_t elements_of_y(const Problem& problem) {
    return elements(problem.batch, problem.channels, problem, &Axis::samples, "the map of samples");
}

std::int64_t elements_of_taps(const Problem& problem) {
    return elements(phases(problem), problem.tap_channels, problem, &Axis::taps, "the array of taps");
}

std::int64_t elements_of_kernel(const Problem& problem) {
    return elements(1, problem.tap_channels, problem, &Axis::length, "the kernel");
}

std::int64_t bytes_of_number(const Problem& problem) {
    switch (problem.number) {
        case Number::float64: return 8;
        case Number::bfloat16: return 2;
        default: return 4;
    }
}

std::int64_t bytes_of_tap(const Problem& problem) { return problem.number == Number::float64 ? 8 : 4; }

Problem checked(const Numbers& numbers) {
    const std::size_t axes = numbers.cells.size();
    if (axes < 1 || axes > most_axes) refuse("cells must have 1 to 3 axes; got " + std::to_string(axes));
    same_axes("samples", numbers.samples, axes);
    same_axes("scale", numbers.scale, axes);
    same_axes("kernel", numbers.kernel, axes);
    same_axes("crop", numbers.crop, axes);
    same_axes("border", numbers.border, axes);
    at_least_one("batch", numbers.batch);
    at_least_one("channels", numbers.channels);
    if (numbers.tap_channels != 1 && numbers.tap_channels != numbers.channels) {
        refuse("kernel_channels must be 1 or the " + text(numbers.channels) + " channels; got " + text(numbers.tap_channels));
    }
    if (numbers.number < 0 || numbers.number > 2) {
        refuse("number must be 0 (float32), 1 (float64) or 2 (bfloat16); got " + text(numbers.number));
    }
    at_least_one("threads", numbers.threads);

    Problem problem = {};
    problem.batch = numbers.batch;
    problem.channels = numbers.channels;
    problem.tap_channels = numbers.tap_channels;
    problem.axes = static_cast<int>(axes);
    for (std::size_t axis = 0; axis < axes; ++axis) problem.axis[axis] = checked_axis(numbers, axis);
    problem.channels_last = numbers.channels_last;
    problem.number = static_cast<Number>(numbers.number);
    problem.threads = static_cast<int>(numbers.threads < most_threads ? numbers.threads : most_threads);
    elements_of_x(problem);
    elements_of_y(problem);
    elements_of_taps(problem);
    elements_of_kernel(problem);
    return problem;
}

}  // namespace upstroke
