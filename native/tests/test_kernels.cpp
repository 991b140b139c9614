// Every kernel in every set of instructions of this machine against loops written from the formula, over drawn
// problems; prints the numbers of what failed. `test_kernels [problems] [first seed]`.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "apply.h"
#include "checked.h"
#include "dispatch.h"
#include "kernel_form.h"
#include "minimal_apply.h"
#include "parallel.h"
#include "shuffle_apply.h"
#include "solve_apply.h"

// Where the kernels are built to check addresses; this file is not, and stays fast.
#ifdef UPSTROKE_SANITISE
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

using namespace upstroke;
using std::int64_t;

namespace {

int failures = 0;
constexpr int most_failures = 20;

// ---- drawing ----

class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) {}
    std::uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ * 0x2545f4914f6cdd1du;
    }
    int64_t between(int64_t least, int64_t most) {
        return least + static_cast<int64_t>((next() >> 11) % static_cast<std::uint64_t>(most - least + 1));
    }
    bool one_in(int64_t count) { return between(1, count) == 1; }
    double value() { return static_cast<double>(next() >> 11) / 4503599627370496.0 - 1.0; }

  private:
    std::uint64_t state_;
};

Axis draw_axis(Random& random, bool innermost) {
    const int64_t cells = random.one_in(6) ? 1 : random.between(1, innermost ? 40 : 9);
    const int64_t scale = random.between(1, 4);
    const int64_t length = random.one_in(8) ? scale * (cells + random.between(1, 4)) : random.between(1, 5 * scale);
    const int64_t crop = random.one_in(10) ? random.between(-200, 200) : random.between(-3 * scale, length + 2 * scale);
    const int64_t excess = random.one_in(2) ? 0 : random.between(-4, 6);
    return axis_of(cells, std::max<int64_t>(1, scale * cells + excess), scale, length, crop, static_cast<Border>(random.between(0, 2)));
}

int64_t products(const Problem& problem) {
    int64_t taps = 1;
    for (int axis = 0; axis < problem.axes; ++axis) taps *= problem.axis[axis].taps;
    return elements_of_y(problem) * taps;
}

Problem draw_problem(Random& random) {
    static const int64_t channels[] = {1, 2, 3, 4, 8, 16, 17, 32, 33};
    Problem problem = {};
    do {
        problem.batch = random.between(1, 3);
        problem.channels = channels[random.between(0, 8)];
        problem.tap_channels = random.one_in(2) ? 1 : problem.channels;
        problem.axes = static_cast<int>(random.between(1, 3));
        for (int axis = 0; axis < problem.axes; ++axis) problem.axis[axis] = draw_axis(random, axis == problem.axes - 1);
        problem.channels_last = random.one_in(2);
        problem.number = static_cast<Number>(random.between(0, 2));
        problem.threads = static_cast<int>(random.between(1, 3));
    } while (products(problem) > 300000);
    return problem;
}

// ---- numbers in memory ----

double bfloat16_value(std::uint16_t bits) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return static_cast<double>(value);
}

// An array of one kind of number between guards: bytes that must stay as they are, and that the address sanitiser, where
// it runs, lets nobody read either. It starts as NaN, and as badly aligned as its numbers may be.
class Array {
  public:
    Array(Number number, int64_t count) : number_(number), count_(count) {
        width_ = number == Number::float64 ? 8 : number == Number::bfloat16 ? 2 : 4;
        bytes_.assign(2 * guard + static_cast<std::size_t>(width_ * (count + 1)), guard_byte);
        std::fill(data(), end(), static_cast<unsigned char>(0xff));
        ASAN_POISON_MEMORY_REGION(bytes_.data(), guard);
        ASAN_POISON_MEMORY_REGION(end(), guard);
    }
    ~Array() { open(); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    unsigned char* data() { return bytes_.data() + guard + width_; }
    int64_t size() const { return count_; }

    double at(int64_t index) {
        const unsigned char* const place = data() + index * width_;
        if (number_ == Number::float64) {
            double value;
            std::memcpy(&value, place, sizeof value);
            return value;
        }
        if (number_ == Number::bfloat16) {
            std::uint16_t bits;
            std::memcpy(&bits, place, sizeof bits);
            return bfloat16_value(bits);
        }
        float value;
        std::memcpy(&value, place, sizeof value);
        return static_cast<double>(value);
    }

    void set(int64_t index, double value) {
        unsigned char* const place = data() + index * width_;
        const float narrow = static_cast<float>(value);
        if (number_ == Number::float64) {
            std::memcpy(place, &value, sizeof value);
        } else if (number_ == Number::bfloat16) {
            // cut off rather than rounded: any bfloat16 will do as input
            std::uint32_t wide;
            std::memcpy(&wide, &narrow, sizeof wide);
            const std::uint16_t bits = static_cast<std::uint16_t>(wide >> 16);
            std::memcpy(place, &bits, sizeof bits);
        } else {
            std::memcpy(place, &narrow, sizeof narrow);
        }
    }

    void draw(Random& random) {
        for (int64_t index = 0; index < count_; ++index) set(index, random.value());
    }

    std::vector<double> values() {
        std::vector<double> all(static_cast<std::size_t>(count_));
        for (int64_t index = 0; index < count_; ++index) all[static_cast<std::size_t>(index)] = at(index);
        return all;
    }

    bool guards_are_whole() {
        open();
        bool whole = true;
        for (const unsigned char* place = bytes_.data(); place < data(); ++place) whole = whole && *place == guard_byte;
        for (const unsigned char* place = end(); place < end() + guard; ++place) whole = whole && *place == guard_byte;
        return whole;
    }

  private:
    static constexpr std::size_t guard = 128;
    static constexpr unsigned char guard_byte = 0xa5;

    unsigned char* end() { return data() + width_ * count_; }
    void open() { ASAN_UNPOISON_MEMORY_REGION(bytes_.data(), bytes_.size()); }

    Number number_;
    int64_t count_;
    int64_t width_ = 0;
    std::vector<unsigned char> bytes_;
};

Number tap_number(const Problem& problem) {
    return problem.number == Number::float64 ? Number::float64 : Number::float32;
}

// ---- the formula: cell m draws number i of its kernel on sample n = scale * m + i - crop ----

// The cell at a place that may lie outside, -1 where zeros stand.
int64_t cell_of(const Axis& axis, int64_t place) {
    if (axis.border == Border::zero) return place < 0 || place >= axis.cells ? -1 : place;
    if (axis.border == Border::clamp) return std::min(std::max<int64_t>(place, 0), axis.cells - 1);
    while (place < 0) place += axis.cells;
    while (place >= axis.cells) place -= axis.cells;
    return place;
}

// One axis after the other: visits (place in x, number of the kernel, place in y), all counted in C order over the axes.
template <class Visit>
void visit_axes(const Problem& problem, int axis, int64_t x, int64_t number, int64_t y, const Visit& visit) {
    if (axis == problem.axes) return visit(x, number, y);
    const Axis& a = problem.axis[axis];
    for (int64_t n = 0; n < a.samples; ++n) {
        for (int64_t i = 0; i < a.length; ++i) {
            if ((n + a.crop - i) % a.scale != 0) continue;
            const int64_t cell = cell_of(a, (n + a.crop - i) / a.scale);
            if (cell < 0) continue;
            visit_axes(problem, axis + 1, x * a.cells + cell, number * a.length + i, y * a.samples + n, visit);
        }
    }
}

int64_t product_over_axes(const Problem& problem, int64_t Axis::*number) {
    int64_t product = 1;
    for (int axis = 0; axis < problem.axes; ++axis) product *= problem.axis[axis].*number;
    return product;
}

// Every product of the formula, by its places in x, kernel and y as they lie in memory.
template <class Visit>
void visit_products(const Problem& problem, const Visit& visit) {
    const int64_t cells = product_over_axes(problem, &Axis::cells);
    const int64_t samples = product_over_axes(problem, &Axis::samples);
    const int64_t length = product_over_axes(problem, &Axis::length);
    const auto place = [&](int64_t batch, int64_t channel, int64_t spot, int64_t spots) {
        return problem.channels_last ? (batch * spots + spot) * problem.channels + channel
                                     : (batch * problem.channels + channel) * spots + spot;
    };
    visit_axes(problem, 0, 0, 0, 0, [&](int64_t cell, int64_t number, int64_t sample) {
        for (int64_t batch = 0; batch < problem.batch; ++batch) {
            for (int64_t channel = 0; channel < problem.channels; ++channel) {
                const int64_t tap_channel = problem.tap_channels == 1 ? 0 : channel;
                visit(place(batch, channel, cell, cells), tap_channel * length + number,
                      place(batch, channel, sample, samples));
            }
        }
    });
}

// What should come out, the sum of the magnitudes that went in, and how many there were, for the tolerance.
struct Expected {
    explicit Expected(int64_t count) : value(count, 0.0), magnitude(count, 0.0), terms(count, 0) {}
    void add(int64_t index, double term) {
        value[index] += term;
        magnitude[index] += std::fabs(term);
        terms[index] += 1;
    }
    std::vector<double> value, magnitude;
    std::vector<int64_t> terms;
};

// ---- comparing ----

std::string described(const Problem& problem) {
    static const char* const borders[] = {"zero", "clamp", "circular"};
    static const char* const numbers[] = {"float32", "float64", "bfloat16"};
    std::string text = numbers[static_cast<int>(problem.number)];
    text += problem.channels_last ? ", channels last" : ", contiguous";
    text += ", batch " + std::to_string(problem.batch) + ", channels " + std::to_string(problem.channels) + ", tap channels " +
            std::to_string(problem.tap_channels) + ", threads " + std::to_string(problem.threads);
    for (int axis = 0; axis < problem.axes; ++axis) {
        const Axis& a = problem.axis[axis];
        text += "\n    axis: cells " + std::to_string(a.cells) + ", samples " + std::to_string(a.samples) + ", scale " +
                std::to_string(a.scale) + ", length " + std::to_string(a.length) + ", crop " + std::to_string(a.crop) +
                ", border " + borders[static_cast<int>(a.border)];
    }
    return text;
}

struct Case {
    std::uint64_t seed;
    const Kernels& kernels;
    const Problem& problem;
};

void fail(const Case& at, const char* what, const std::string& how) {
    ++failures;
    std::printf("FAILED %s, %s, seed %" PRIu64 ": %s\n  %s\n", what, at.kernels.instructions, at.seed, how.c_str(),
                described(at.problem).c_str());
}

// Rounding of a sum of so many terms, each of which was itself rounded, and of its result.
double tolerance(const Expected& expected, int64_t index, Number sums, Number stored) {
    const double sum_step = sums == Number::float64 ? 0x1p-52 : 0x1p-23;
    const double store_step = stored == Number::bfloat16 ? 0x1p-8 : stored == Number::float32 ? 0x1p-23 : 0x1p-52;
    const double terms = static_cast<double>(expected.terms[index] + 8);
    return sum_step * terms * expected.magnitude[index] + store_step * std::fabs(expected.value[index]) + 1e-40;
}

void compare(const Case& at, const char* what, Array& got, const Expected& expected, Number sums, Number stored) {
    for (int64_t index = 0; index < got.size(); ++index) {
        const double error = std::fabs(got.at(index) - expected.value[index]);
        if (!(error <= tolerance(expected, index, sums, stored))) {
            char how[160];
            std::snprintf(how, sizeof how, "number %" PRId64 " of %" PRId64 " is %.9g, should be %.9g", index, got.size(),
                          got.at(index), expected.value[index]);
            return fail(at, what, how);
        }
    }
    if (!got.guards_are_whole()) fail(at, what, "wrote outside of its output");
}

double dot(Array& a, Array& b) {
    double sum = 0.0;
    for (int64_t index = 0; index < a.size(); ++index) sum += a.at(index) * b.at(index);
    return sum;
}

void compare_products(const Case& at, const char* what, double one, double other, double magnitude, Number stored) {
    // either side is rounded once, and a little more where the sum runs over float32
    const double step = stored == Number::bfloat16 ? 0x1.02p-7 : stored == Number::float32 ? 0x1p-18 : 0x1p-45;
    if (!(std::fabs(one - other) <= step * magnitude + 1e-30)) {
        char how[120];
        std::snprintf(how, sizeof how, "the two products are %.12g and %.12g", one, other);
        fail(at, what, how);
    }
}

// ---- the tests ----

// What one problem is tried on, and what should come out.
struct Trial {
    Array &x, &kernel, &bias, &y;
    const Expected &up, &down, &slope;
};

// The kernels by themselves, cut into as many ranges as there are threads, whether or not so many pay.
void test_ranges(const Case& at, const Trial& trial) {
    const Problem& problem = at.problem;
    const Number sums = tap_number(problem);
    Array taps(sums, elements_of_taps(problem));
    if (sums == Number::float64) {
        taps_of_kernel(problem, reinterpret_cast<const double*>(trial.kernel.data()), reinterpret_cast<double*>(taps.data()));
    } else {
        taps_of_kernel(problem, reinterpret_cast<const float*>(trial.kernel.data()), reinterpret_cast<float*>(taps.data()));
    }
    Array up_got(problem.number, trial.y.size());
    const bool up_done = share(at.kernels.upsample_units(problem), problem.threads, [&](int, int64_t first, int64_t last) {
        return at.kernels.upsample(problem, trial.x.data(), taps.data(), trial.bias.data(), up_got.data(), first, last);
    });
    if (!up_done) fail(at, "upsample", "no memory");
    compare(at, "upsample", up_got, trial.up, sums, problem.number);

    Array down_got(problem.number, trial.x.size());
    const bool down_done = share(at.kernels.adjoint_units(problem), problem.threads, [&](int, int64_t first, int64_t last) {
        return at.kernels.adjoint(problem, trial.y.data(), taps.data(), down_got.data(), first, last);
    });
    if (!down_done) fail(at, "adjoint", "no memory");
    compare(at, "adjoint", down_got, trial.down, sums, problem.number);

    std::vector<std::vector<double>> parts(static_cast<std::size_t>(problem.threads), std::vector<double>(taps.size(), 0.0));
    const auto add = [&](int thread, int64_t first, int64_t last) {
        return at.kernels.taps_gradient(problem, trial.y.data(), trial.x.data(), parts[static_cast<std::size_t>(thread)].data(),
                                        first, last);
    };
    if (!share(at.kernels.taps_gradient_units(problem), problem.threads, add)) fail(at, "taps gradient", "no memory");
    std::vector<double> sum(taps.size(), 0.0);
    for (const std::vector<double>& part : parts) {
        for (std::size_t tap = 0; tap < sum.size(); ++tap) sum[tap] += part[tap];
    }
    std::vector<double> slope(static_cast<std::size_t>(trial.kernel.size()));
    kernel_of_taps(problem, sum.data(), slope.data());
    Array slope_got(Number::float64, trial.kernel.size());
    for (int64_t number = 0; number < trial.kernel.size(); ++number) slope_got.set(number, slope[static_cast<std::size_t>(number)]);
    compare(at, "taps gradient", slope_got, trial.slope, sums, Number::float64);
}

// The whole calls, and what they must be to one another: <A x, y> = <x, A' y> = <kernel, gradient>, without a bias.
void test_calls(const Case& at, const Trial& trial) {
    const Problem& problem = at.problem;
    const Number sums = tap_number(problem);
    Array plain(problem.number, trial.y.size());
    Array up_got(problem.number, trial.y.size());
    Array down_got(problem.number, trial.x.size());
    Array slope_got(sums, trial.kernel.size());
    const bool done =
        apply_upsample(at.kernels, problem, trial.x.data(), trial.kernel.data(), nullptr, plain.data()) &&
        apply_upsample(at.kernels, problem, trial.x.data(), trial.kernel.data(), trial.bias.data(), up_got.data()) &&
        apply_adjoint(at.kernels, problem, trial.y.data(), trial.kernel.data(), down_got.data()) &&
        apply_kernel_gradient(at.kernels, problem, trial.y.data(), trial.x.data(), slope_got.data());
    if (!done) fail(at, "calls", "no memory");

    double magnitude = 0.0;
    for (int64_t index = 0; index < trial.y.size(); ++index) magnitude += trial.up.magnitude[index] * std::fabs(trial.y.at(index));
    const double forward = dot(plain, trial.y);
    compare_products(at, "adjointness in x", forward, dot(trial.x, down_got), magnitude, problem.number);
    compare_products(at, "adjointness in the kernel", forward, dot(trial.kernel, slope_got), magnitude, problem.number);

    compare(at, "upsample, whole call", up_got, trial.up, sums, problem.number);
    compare(at, "adjoint, whole call", down_got, trial.down, sums, problem.number);
    compare(at, "kernel gradient, whole call", slope_got, trial.slope, sums, sums);
}

// Kernels that are a product of one factor for each axis, some of them zero, as those of fixed kernels are.
void draw_product(const Problem& problem, Array& kernel, Random& random) {
    std::vector<std::vector<double>> factors(static_cast<std::size_t>(problem.axes));
    for (int axis = 0; axis < problem.axes; ++axis) {
        for (int64_t i = 0; i < problem.axis[axis].length; ++i) {
            factors[static_cast<std::size_t>(axis)].push_back(random.one_in(4) ? 0.0 : random.value());
        }
    }
    for (int64_t index = 0; index < kernel.size(); ++index) {
        int64_t number = index;
        double product = 1.0;
        for (int axis = problem.axes - 1; axis >= 0; --axis) {
            const int64_t length = problem.axis[axis].length;
            product *= factors[static_cast<std::size_t>(axis)][static_cast<std::size_t>(number % length)];
            number /= length;
        }
        kernel.set(index, product);
    }
}

void test_problem(std::uint64_t seed, const Problem& problem) {
    Random random(seed + 1000003);
    Array x(problem.number, elements_of_x(problem));
    Array y(problem.number, elements_of_y(problem));
    Array kernel(tap_number(problem), elements_of_kernel(problem));
    Array bias(tap_number(problem), problem.channels);
    x.draw(random);
    y.draw(random);
    kernel.draw(random);
    bias.draw(random);
    if (random.one_in(3)) draw_product(problem, kernel, random);

    const std::vector<double> cells = x.values(), samples = y.values(), weights = kernel.values(), biases = bias.values();
    Expected up(y.size()), down(x.size()), slope(kernel.size());
    visit_products(problem, [&](int64_t cell, int64_t number, int64_t sample) {
        up.add(sample, weights[number] * cells[cell]);
        down.add(cell, weights[number] * samples[sample]);
        slope.add(number, cells[cell] * samples[sample]);
    });
    const int64_t spots = product_over_axes(problem, &Axis::samples);
    for (int64_t sample = 0; sample < y.size(); ++sample) {
        up.add(sample, biases[problem.channels_last ? sample % problem.channels : sample / spots % problem.channels]);
    }
    for (const Kernels* kernels : available_kernels()) {
        const Case at = {seed, *kernels, problem};
        const Trial trial = {x, kernel, bias, y, up, down, slope};
        test_ranges(at, trial);
        test_calls(at, trial);
    }
    const Case at = {seed, *available_kernels().front(), problem};
    if (!x.guards_are_whole() || !y.guards_are_whole() || !kernel.guards_are_whole() || !bias.guards_are_whole()) {
        fail(at, "inputs", "written to");
    }
}

// Large enough that a second thread and a third one pay.
void test_large_problems() {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        Problem problem = {};
        problem.batch = 2;
        problem.channels = 5;
        problem.tap_channels = seed % 2 == 0 ? 1 : 5;
        problem.axes = 2;
        problem.axis[0] = axis_of(61, 122, 2, 4, 1, Border::clamp);
        problem.axis[1] = axis_of(80, 241, 3, 5, 2, Border::circular);
        problem.channels_last = seed % 2 == 1;
        problem.number = static_cast<Number>(seed % 3);
        problem.threads = 3;
        test_problem(1000000000 + seed, problem);
    }
}

// Rows longer than what is worked on at once.
void test_wide_problems() {
    for (std::uint64_t seed = 0; seed < 24; ++seed) {
        Problem problem = {};
        problem.batch = 1;
        problem.channels = seed % 4 < 2 ? 2 : 3;
        problem.tap_channels = seed % 2 == 0 ? 1 : problem.channels;
        problem.axes = seed % 3 == 0 ? 1 : 2;
        if (problem.axes == 2) problem.axis[0] = axis_of(3, 7, 2, 4, 0, Border::clamp);
        const int64_t cells = seed % 3 == 0 ? 4200 : 1100;
        problem.axis[problem.axes - 1] = axis_of(cells, 2 * cells - 1, 2, 6, 2, static_cast<Border>(seed % 5 % 3));
        problem.channels_last = seed % 4 > 0;
        problem.number = static_cast<Number>(seed / 3 % 3);
        problem.threads = 2;
        test_problem(2000000000 + seed, problem);
    }
}

void expect(bool holds, const char* what) {
    if (holds) return;
    ++failures;
    std::printf("FAILED %s\n", what);
}

Numbers good_numbers() { return {2, 3, 1, {5, 7}, {10, 21}, {2, 3}, {2, 4}, {0, -1}, {0, 2}, true, 0, 1}; }

void expect_refused(const char* message, const std::function<void(Numbers&)>& spoil) {
    Numbers numbers = good_numbers();
    spoil(numbers);
    std::string said = "nothing";
    try {
        checked(numbers);
    } catch (const BadNumber& error) {
        said = error.what();
    }
    if (said == message) return;
    ++failures;
    std::printf("FAILED checked: wanted \"%s\", got \"%s\"\n", message, said.c_str());
}

void test_checked() {
    const Problem problem = checked(good_numbers());
    expect(elements_of_x(problem) == 2 * 3 * 35 && elements_of_y(problem) == 2 * 3 * 210 && elements_of_taps(problem) == 6 * 2 &&
               elements_of_kernel(problem) == 8,
           "checked: elements of the arrays");
    const int64_t most = std::numeric_limits<int64_t>::max();
    const int64_t least = std::numeric_limits<int64_t>::min();
    expect_refused("cells must have 1 to 3 axes; got 0", [](Numbers& n) { n.cells = {}; });
    expect_refused("cells must have 1 to 3 axes; got 4", [](Numbers& n) { n.cells = {1, 1, 1, 1}; });
    expect_refused("scale must have one number for each of 2 axes, as cells has; got 1", [](Numbers& n) { n.scale = {2}; });
    expect_refused("batch must be at least 1; got 0", [](Numbers& n) { n.batch = 0; });
    expect_refused("channels must be at least 1; got -1", [](Numbers& n) { n.channels = -1; });
    expect_refused("kernel_channels must be 1 or the 3 channels; got 2", [](Numbers& n) { n.tap_channels = 2; });
    expect_refused("cells must be at least 1; got 0", [](Numbers& n) { n.cells[1] = 0; });
    expect_refused("samples must be at least 1; got 0", [](Numbers& n) { n.samples[0] = 0; });
    expect_refused("scale must be at least 1; got 0", [](Numbers& n) { n.scale[1] = 0; });
    expect_refused("kernel must be at least 1; got 0", [](Numbers& n) { n.kernel[0] = 0; });
    expect_refused("border must be 0 (zero), 1 (clamp) or 2 (circular); got 3", [](Numbers& n) { n.border[1] = 3; });
    expect_refused("number must be 0 (float32), 1 (float64) or 2 (bfloat16); got -1", [](Numbers& n) { n.number = -1; });
    expect_refused("threads must be at least 1; got 0", [](Numbers& n) { n.threads = 0; });
    expect_refused("crop must be within 2^60 of 0; got -9223372036854775808", [=](Numbers& n) { n.crop[0] = least; });
    expect_refused("the reach of an axis does not fit 64 bits; use a smaller map", [=](Numbers& n) { n.cells[0] = most; });
    expect_refused("the reach of an axis does not fit 64 bits; use a smaller map", [=](Numbers& n) { n.kernel[0] = most; });
    expect_refused("the reach of an axis does not fit 64 bits; use a smaller map", [=](Numbers& n) { n.scale[0] = most; });
    expect_refused("the map of cells does not fit 64 bits; use a smaller map", [=](Numbers& n) { n.batch = most; });
    expect_refused("the map of samples does not fit 64 bits; use a smaller map", [=](Numbers& n) { n.samples = {most / 2, 2}; });
    expect_refused("the array of taps does not fit 64 bits; use a smaller map", [](Numbers& n) {
        n.kernel = {int64_t{1} << 40, int64_t{1} << 40};
    });
}

void test_share() {
    for (int64_t units = 0; units < 12; ++units) {
        for (int threads = 1; threads < 15; ++threads) {
            std::vector<int> times(static_cast<std::size_t>(units), 0);
            const bool done = share(units, threads, [&](int, int64_t first, int64_t last) {
                for (int64_t unit = first; unit < last; ++unit) ++times[static_cast<std::size_t>(unit)];
                return true;
            });
            bool once = done;
            for (const int count : times) once = once && count == 1;
            expect(once, "share: every unit once");
        }
    }
    expect(!share(4, 3, [](int, int64_t first, int64_t) { return first == 0; }), "share: no memory in another thread");
    expect(!share(4, 3, [](int, int64_t first, int64_t) { return first != 0; }), "share: no memory in the caller's thread");
    expect(worthwhile_threads(4, 100, 1000) == 1, "a small map takes one thread");
    expect(worthwhile_threads(4, 100, int64_t{1} << 40) == 4, "a large map takes all threads");
    expect(worthwhile_threads(4, 3, int64_t{1} << 40) == 3, "no more threads than units");
}

// ---- shuffles ----

// Bytes between guards, at a place as badly aligned as numbers of so many bytes may be, or at that of a cache line.
class Bytes {
  public:
    Bytes(int64_t count, int64_t misplaced) : count_(static_cast<std::size_t>(count)) {
        all_.assign(count_ + 4 * guard, guard_byte);
        start_ = guard + (64 - reinterpret_cast<std::uintptr_t>(all_.data() + guard) % 64) % 64 + static_cast<std::size_t>(misplaced);
        ASAN_POISON_MEMORY_REGION(all_.data(), start_);
        ASAN_POISON_MEMORY_REGION(data() + count_, all_.size() - start_ - count_);
    }
    ~Bytes() { ASAN_UNPOISON_MEMORY_REGION(all_.data(), all_.size()); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;

    unsigned char* data() { return all_.data() + start_; }
    void draw(Random& random) {
        for (std::size_t i = 0; i < count_; ++i) data()[i] = static_cast<unsigned char>(random.next() >> 20);
    }
    // Guards among them, so what lies outside must be as in the other one.
    bool is(Bytes& other) {
        ASAN_UNPOISON_MEMORY_REGION(all_.data(), all_.size());
        ASAN_UNPOISON_MEMORY_REGION(other.all_.data(), other.all_.size());
        return std::memcmp(data() - guard, other.data() - guard, count_ + 2 * guard) == 0;
    }

  private:
    static constexpr std::size_t guard = 64;
    static constexpr unsigned char guard_byte = 0xa5;

    std::size_t count_, start_;
    std::vector<unsigned char> all_;
};

ShuffleNumbers draw_shuffle(Random& random) {
    static const int64_t widths[] = {1, 2, 4, 5, 8, 15, 16, 17, 31, 32, 33, 64, 70, 100};
    static const int64_t scales[] = {1, 2, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33};
    ShuffleNumbers numbers = {};
    numbers.channels = random.between(1, 3);
    const int64_t axes = random.between(1, 3);
    for (int64_t axis = 0; axis < axes; ++axis) {
        const bool innermost = axis == axes - 1;
        numbers.cells.push_back(innermost ? widths[random.between(0, 13)] : random.between(1, 4));
        numbers.scale.push_back(innermost ? scales[random.between(0, 11)] : random.between(1, 3));
    }
    // gaps as a strip of a larger map has
    int64_t cells = 1, stride = 1;
    for (int64_t axis = axes - 1; axis >= 0; --axis) {
        const std::size_t at = static_cast<std::size_t>(axis);
        cells *= numbers.cells[at];
        stride = stride * numbers.cells[at] * numbers.scale[at] + (random.one_in(2) ? 0 : random.between(1, 20));
        numbers.sample_strides.insert(numbers.sample_strides.begin(), stride);
    }
    numbers.phase_stride = cells + (random.one_in(2) ? 0 : random.between(1, 20));
    numbers.bytes = int64_t{1} << random.between(1, 3);
    numbers.threads = random.between(1, 3);
    return numbers;
}

// Visits (place of a phase's number, place of the sample that it is).
template <class Visit>
void visit_samples(const Shuffle& s, const Visit& visit) {
    for (int64_t c = 0; c < s.channels; ++c)
        for (int64_t n0 = 0; n0 < s.cells[0] * s.scale[0]; ++n0)
            for (int64_t n1 = 0; n1 < s.cells[1] * s.scale[1]; ++n1)
                for (int64_t n2 = 0; n2 < s.cells[2] * s.scale[2]; ++n2) {
                    const int64_t row = ((c * s.scale[0] + n0 % s.scale[0]) * s.scale[1] + n1 % s.scale[1]) * s.scale[2] + n2 % s.scale[2];
                    const int64_t cell = (n0 / s.scale[0] * s.cells[1] + n1 / s.scale[1]) * s.cells[2] + n2 / s.scale[2];
                    visit(row * s.phase_stride + cell, c * s.sample_strides[0] + n0 * s.sample_strides[1] + n1 * s.sample_strides[2] + n2);
                }
}

void test_shuffle(std::uint64_t seed, const ShuffleNumbers& numbers, int64_t misplaced) {
    const Shuffle shuffle = checked_shuffle(numbers);
    Random random(seed);
    const int64_t size = shuffle.bytes;
    for (const bool into_samples : {true, false}) {
        const int64_t from_count = into_samples ? extent_of_phases(shuffle) : extent_of_samples(shuffle);
        const int64_t to_count = into_samples ? extent_of_samples(shuffle) : extent_of_phases(shuffle);
        Bytes from(from_count * size, misplaced * size), wanted(to_count * size, misplaced * size);
        from.draw(random);
        visit_samples(shuffle, [&](int64_t phase, int64_t sample) {
            std::memcpy(wanted.data() + (into_samples ? sample : phase) * size, from.data() + (into_samples ? phase : sample) * size,
                        static_cast<std::size_t>(size));
        });
        for (const Kernels* kernels : available_kernels()) {
            Bytes whole(to_count * size, misplaced * size), ranges(to_count * size, misplaced * size);
            (into_samples ? apply_interleave : apply_deinterleave)(*kernels, shuffle, into_samples ? from.data() : whole.data(),
                                                                   into_samples ? whole.data() : from.data());
            share(units_of_shuffle(shuffle), shuffle.threads, [&](int, int64_t first, int64_t last) {
                (into_samples ? kernels->interleave : kernels->deinterleave)(shuffle, from.data(), ranges.data(), first, last);
                return true;
            });
            if (whole.is(wanted) && ranges.is(wanted)) continue;
            ++failures;
            std::printf("FAILED %s, %s, seed %" PRIu64 ", %" PRId64 " bytes, channels %" PRId64 ", threads %d\n",
                        into_samples ? "interleave" : "deinterleave", kernels->instructions, seed, size, shuffle.channels, shuffle.threads);
            for (int axis = 0; axis < 3; ++axis) {
                std::printf("    axis: cells %" PRId64 ", scale %" PRId64 ", stride before %" PRId64 "\n", shuffle.cells[axis],
                            shuffle.scale[axis], shuffle.sample_strides[axis]);
            }
        }
    }
}

// So large that whole vectors are written past the caches.
void test_large_shuffles() {
    for (const int64_t bytes : {2, 4, 8}) {
        for (const int64_t scale : {1, 2, 3, 4, 5, 8, 20}) {
            const int64_t width = 96, rows = (int64_t{1} << 23) / (bytes * scale * width) + 1;
            for (const int64_t gap : {0, 1}) {
                const ShuffleNumbers numbers = {1, {rows, width}, {1, scale}, rows * width + gap, {rows * scale * width, scale * width}, bytes, 3};
                for (const int64_t misplaced : {0, 1}) test_shuffle(2000000000 + static_cast<std::uint64_t>(scale), numbers, misplaced);
            }
        }
    }
}

void expect_shuffle_refused(const char* message, const std::function<void(ShuffleNumbers&)>& spoil) {
    ShuffleNumbers numbers = {3, {5, 7}, {2, 4}, 35, {280, 28}, 4, 1};
    checked_shuffle(numbers);
    spoil(numbers);
    std::string said = "nothing";
    try {
        checked_shuffle(numbers);
    } catch (const BadNumber& error) {
        said = error.what();
    }
    if (said == message) return;
    ++failures;
    std::printf("FAILED checked_shuffle: wanted \"%s\", got \"%s\"\n", message, said.c_str());
}

void test_checked_shuffle() {
    const int64_t most = std::numeric_limits<int64_t>::max();
    expect_shuffle_refused("cells must have 1 to 3 axes; got 0", [](ShuffleNumbers& n) { n.cells = {}; });
    expect_shuffle_refused("scale must have 2 numbers, as cells has; got 1", [](ShuffleNumbers& n) { n.scale = {2}; });
    expect_shuffle_refused("sample_strides must have 2 numbers, as cells has; got 3", [](ShuffleNumbers& n) { n.sample_strides = {1, 1, 1}; });
    expect_shuffle_refused("channels must be at least 1; got 0", [](ShuffleNumbers& n) { n.channels = 0; });
    expect_shuffle_refused("cells must be at least 1; got -2", [](ShuffleNumbers& n) { n.cells[0] = -2; });
    expect_shuffle_refused("scale must be at least 1; got 0", [](ShuffleNumbers& n) { n.scale[1] = 0; });
    expect_shuffle_refused("bytes must be 2, 4 or 8; got 3", [](ShuffleNumbers& n) { n.bytes = 3; });
    expect_shuffle_refused("threads must be at least 1; got 0", [](ShuffleNumbers& n) { n.threads = 0; });
    expect_shuffle_refused("phase_stride must be at least 35; got 34", [](ShuffleNumbers& n) { n.phase_stride = 34; });
    expect_shuffle_refused("sample_strides must be at least 28; got 27", [](ShuffleNumbers& n) { n.sample_strides[1] = 27; });
    expect_shuffle_refused("sample_strides must be at least 280; got 279", [](ShuffleNumbers& n) { n.sample_strides[0] = 279; });
    const char* const too_large = "the map does not fit 64 bits; use a smaller one";
    expect_shuffle_refused(too_large, [=](ShuffleNumbers& n) { n.channels = most; });
    expect_shuffle_refused(too_large, [=](ShuffleNumbers& n) { n.cells[0] = most; });
    expect_shuffle_refused(too_large, [=](ShuffleNumbers& n) { n.scale[1] = most; });
    expect_shuffle_refused(too_large, [=](ShuffleNumbers& n) { n.phase_stride = most; });
    expect_shuffle_refused(too_large, [=](ShuffleNumbers& n) { n.sample_strides[0] = most; });
}

// ---- minimal filtering ----

MinimalNumbers draw_minimal(Random& random) {
    static const int64_t channels[] = {1, 2, 3, 15, 16, 17, 33, 64, 70};
    MinimalNumbers numbers = {random.between(1, 3), channels[random.between(0, 8)], channels[random.between(0, 8)], {}, {}, {}, {}, {},
                              random.one_in(2), random.between(1, 3)};
    for (int axis = 0; axis < 2; ++axis) {
        const int64_t cells = random.one_in(5) ? 1 : random.between(1, 12), scale = random.between(1, 4);
        const int64_t kernel = random.between(1, 3 * scale), padding = random.one_in(10) ? random.between(0, 60) : random.between(0, kernel);
        const int64_t samples = scale * (cells - 1) + kernel - 2 * padding + (random.one_in(3) ? random.between(-3, 5) : 0);
        numbers.cells.push_back(cells);
        numbers.samples.push_back(std::max<int64_t>(1, samples));
        numbers.scale.push_back(scale);
        numbers.kernel.push_back(kernel);
        numbers.padding.push_back(padding);
    }
    return numbers;
}

// Sample n = scale * m + k - padding, as the layer says it; with each sum that of the absolute products, to measure errors by.
void minimal_formula(const Minimal& problem, Array& x, Array& weight, Array* bias, std::vector<double>& y, std::vector<double>& sizes) {
    const int64_t *const cells = problem.cells, *const samples = problem.samples, *const kernel = problem.kernel;
    const auto place = [&](int64_t map, int64_t channel, int64_t channels, int64_t i, int64_t j, const int64_t* size) {
        return problem.channels_last ? ((map * size[0] + i) * size[1] + j) * channels + channel
                                     : ((map * channels + channel) * size[0] + i) * size[1] + j;
    };
    for (int64_t map = 0; map < problem.batch; ++map) {
        for (int64_t out = 0; out < problem.out; ++out) {
            for (int64_t n0 = 0; n0 < samples[0]; ++n0) {
                for (int64_t n1 = 0; n1 < samples[1]; ++n1) {
                    double sum = bias == nullptr ? 0.0 : bias->at(out), size = std::fabs(sum);
                    for (int64_t k0 = (n0 + problem.padding[0]) % problem.scale[0]; k0 < kernel[0]; k0 += problem.scale[0]) {
                        const int64_t m0 = (n0 + problem.padding[0] - k0) / problem.scale[0];
                        if (n0 + problem.padding[0] < k0 || m0 >= cells[0]) continue;
                        for (int64_t k1 = (n1 + problem.padding[1]) % problem.scale[1]; k1 < kernel[1]; k1 += problem.scale[1]) {
                            const int64_t m1 = (n1 + problem.padding[1] - k1) / problem.scale[1];
                            if (n1 + problem.padding[1] < k1 || m1 >= cells[1]) continue;
                            for (int64_t c = 0; c < problem.channels; ++c) {
                                const double product = x.at(place(map, c, problem.channels, m0, m1, cells)) *
                                                       weight.at(((c * problem.out + out) * kernel[0] + k0) * kernel[1] + k1);
                                sum += product;
                                size += std::fabs(product);
                            }
                        }
                    }
                    const std::size_t index = static_cast<std::size_t>(place(map, out, problem.out, n0, n1, samples));
                    y[index] = sum;
                    sizes[index] = size;
                }
            }
        }
    }
}

void test_minimal(std::uint64_t seed, const MinimalNumbers& numbers) {
    const Minimal problem = checked_minimal(numbers);
    Random random(seed);
    const int64_t outputs = problem.batch * problem.out * problem.samples[0] * problem.samples[1];
    Array x(Number::float32, problem.batch * problem.channels * problem.cells[0] * problem.cells[1]);
    Array weight(Number::float32, problem.channels * problem.out * problem.kernel[0] * problem.kernel[1]);
    Array bias(Number::float32, problem.out), prepared(Number::float32, prepared_size(problem));
    x.draw(random);
    weight.draw(random);
    bias.draw(random);
    const bool is_biased = random.one_in(2);
    std::vector<double> wanted(static_cast<std::size_t>(outputs)), sizes(wanted.size());
    minimal_formula(problem, x, weight, is_biased ? &bias : nullptr, wanted, sizes);
    const auto floats = [](Array& array) { return reinterpret_cast<float*>(array.data()); };
    prepare_minimal(problem, floats(weight), floats(prepared));
    bool whole = prepared.guards_are_whole();
    // sums of cells and of taps are of the size of all that a group of samples reads
    const double largest = *std::max_element(sizes.begin(), sizes.end());
    for (const Kernels* kernels : available_kernels()) {
        Array y(Number::float32, outputs);
        const bool done = apply_minimal(*kernels, problem, floats(x), floats(prepared), is_biased ? floats(bias) : nullptr, floats(y));
        double worst = done ? 0.0 : 1.0;
        for (int64_t index = 0; index < outputs; ++index) {
            const double error = std::fabs(y.at(index) - wanted[static_cast<std::size_t>(index)]);
            // a NaN is no smaller
            if (!(error <= worst)) worst = error;
        }
        if (worst <= 2e-6 * largest && y.guards_are_whole() && whole) continue;
        ++failures;
        std::printf("FAILED minimal, %s, seed %" PRIu64 ": error %g of %g; batch %" PRId64 ", channels %" PRId64 " to %" PRId64 ", last %d, threads %d\n",
                    kernels->instructions, seed, worst, largest, problem.batch, problem.channels, problem.out, problem.channels_last, problem.threads);
        for (int axis = 0; axis < 2; ++axis) {
            std::printf("    axis: cells %" PRId64 ", samples %" PRId64 ", scale %" PRId64 ", kernel %" PRId64 ", padding %" PRId64 "\n", problem.cells[axis],
                        problem.samples[axis], problem.scale[axis], problem.kernel[axis], problem.padding[axis]);
        }
    }
}

// So large that there are several strips of rows, and that vectors are written past the caches.
void test_large_minimal() {
    for (const bool channels_last : {true, false}) {
        for (const int64_t line : {90, 96}) {
            test_minimal(5, {1, 2, 130, {62, line}, {124, 2 * line}, {2, 2}, {4, 4}, {1, 1}, channels_last, 2});
        }
        test_minimal(6, {1, 40, 2, {100, 60}, {200, 120}, {2, 2}, {4, 6}, {1, 2}, channels_last, 1});
    }
}

void expect_minimal_refused(const char* message, const std::function<void(MinimalNumbers&)>& spoil) {
    MinimalNumbers numbers = {2, 3, 4, {5, 7}, {10, 21}, {2, 3}, {4, 9}, {1, 3}, false, 1};
    checked_minimal(numbers);
    spoil(numbers);
    std::string said = "nothing";
    try {
        checked_minimal(numbers);
    } catch (const BadNumber& error) {
        said = error.what();
    }
    if (said == message) return;
    ++failures;
    std::printf("FAILED checked_minimal: wanted \"%s\", got \"%s\"\n", message, said.c_str());
}

void test_checked_minimal() {
    const int64_t most = std::numeric_limits<int64_t>::max();
    expect_minimal_refused("batch must be at least 1; got 0", [](MinimalNumbers& n) { n.batch = 0; });
    expect_minimal_refused("channels must be at least 1; got 0", [](MinimalNumbers& n) { n.channels = 0; });
    expect_minimal_refused("out must be at least 1; got -1", [](MinimalNumbers& n) { n.out = -1; });
    expect_minimal_refused("threads must be at least 1; got 0", [](MinimalNumbers& n) { n.threads = 0; });
    expect_minimal_refused("cells must have 2 numbers, one per axis; got 1", [](MinimalNumbers& n) { n.cells = {5}; });
    expect_minimal_refused("samples must be at least 1; got 0", [](MinimalNumbers& n) { n.samples[1] = 0; });
    expect_minimal_refused("padding must be at least 0; got -1", [](MinimalNumbers& n) { n.padding[0] = -1; });
    expect_minimal_refused("kernel must be at most 6 for scale 2, so that no phase has more than 3 taps; got 7",
                           [](MinimalNumbers& n) { n.kernel[0] = 7; });
    const char* const too_large = "the map does not fit 64 bits; use a smaller one";
    expect_minimal_refused(too_large, [=](MinimalNumbers& n) { n.cells[0] = most; });
    expect_minimal_refused(too_large, [=](MinimalNumbers& n) { n.samples[1] = most; });
    expect_minimal_refused(too_large, [=](MinimalNumbers& n) { n.channels = most; });
    expect_minimal_refused(too_large, [=](MinimalNumbers& n) { n.padding[1] = most; });
    expect_minimal_refused(too_large, [=](MinimalNumbers& n) { n.scale[0] = most; });
}

// ---- solves ----

SolveNumbers draw_solve(Random& random) {
    SolveNumbers numbers = {};
    numbers.outer = random.between(1, 4);
    numbers.size = random.one_in(4) ? random.between(1, 4) : random.between(5, 40);
    numbers.inner = random.one_in(2) ? 1 : random.between(1, 70);
    numbers.below = random.between(0, std::min<int64_t>(3, numbers.size));
    numbers.above = random.between(0, std::min<int64_t>(3, numbers.size));
    numbers.border = random.one_in(3) ? 0 : random.one_in(4) ? numbers.size : random.between(0, std::min<int64_t>(4, numbers.size));
    numbers.number = random.between(0, 1);
    numbers.threads = random.between(1, 3);
    return numbers;
}

// One line solved from the formula: L and U with their rows in `factors`, see solve_problem.h.
std::vector<double> solved_line(const Solve& s, const std::vector<double>& factors, std::vector<double> line) {
    const int64_t q = s.border, m = s.size - q, step = numbers_of_row(s);
    const auto at = [&](int64_t row, int64_t column) { return factors[static_cast<std::size_t>(row * step + column)]; };
    const auto value = [&](int64_t index) -> double& { return line[static_cast<std::size_t>(index)]; };
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t d = 1; d <= std::min(s.below, i); ++d) value(i) -= at(i, d - 1) * value(i - d);
    }
    std::vector<double> rest(line.begin() + m, line.end());
    for (int64_t k = 0; k < q; ++k) {
        for (int64_t i = 0; i < m; ++i) rest[static_cast<std::size_t>(k)] -= at(i, s.below + 1 + s.above + q + k) * value(i);
    }
    for (int64_t k = 0; k < q; ++k) {
        value(m + k) = 0;
        for (int64_t j = 0; j < q; ++j) value(m + k) += at(m, k * q + j) * rest[static_cast<std::size_t>(j)];
    }
    for (int64_t i = m - 1; i >= 0; --i) {
        for (int64_t k = 0; k < q; ++k) value(i) -= at(i, s.below + 1 + s.above + k) * value(m + k);
        for (int64_t d = 1; d <= std::min(s.above, m - 1 - i); ++d) value(i) -= at(i, s.below + d) * value(i + d);
        value(i) *= at(i, s.below);
    }
    return line;
}

void test_solve(std::uint64_t seed, const SolveNumbers& numbers) {
    const Solve solve = checked_solve(numbers);
    Random random(seed);
    const int64_t count = solve.outer * solve.size * solve.inner;
    Array x(solve.number, count), factors(Number::float64, numbers_of_factors(solve));
    std::vector<double> plain;
    // small enough that a line stays of the size of its numbers; some have died away
    for (int64_t i = 0; i < factors.size(); ++i) {
        factors.set(i, random.one_in(8) ? 0.0 : 0.1 * random.value());
        plain.push_back(factors.at(i));
    }
    for (int64_t i = 0; i < count; ++i) x.set(i, random.value());
    for (const Kernels* kernels : available_kernels()) {
        Array y(solve.number, count), in_place(solve.number, count);
        for (int64_t i = 0; i < count; ++i) in_place.set(i, x.at(i));
        const double* const table = reinterpret_cast<const double*>(factors.data());
        const bool done = apply_solve(*kernels, solve, x.data(), table, y.data()) &&
                          apply_solve(*kernels, solve, in_place.data(), table, in_place.data());
        double worst = 0;
        for (int64_t outer = 0; outer < solve.outer; ++outer) {
            for (int64_t inner = 0; inner < solve.inner; ++inner) {
                const auto place = [&](int64_t i) { return (outer * solve.size + i) * solve.inner + inner; };
                std::vector<double> line;
                for (int64_t i = 0; i < solve.size; ++i) line.push_back(x.at(place(i)));
                line = solved_line(solve, plain, line);
                for (int64_t i = 0; i < solve.size; ++i) {
                    for (Array* found : {&y, &in_place}) {
                        const double wrong = std::fabs(found->at(place(i)) - line[static_cast<std::size_t>(i)]);
                        worst = wrong <= worst ? worst : wrong;
                        if (!(wrong == wrong)) worst = 1;
                    }
                }
            }
        }
        if (done && worst <= (solve.number == Number::float64 ? 1e-14 : 1e-7) && y.guards_are_whole() && in_place.guards_are_whole()) continue;
        ++failures;
        std::printf("FAILED solve, %s, seed %" PRIu64 ", off by %g: outer %" PRId64 ", size %" PRId64 ", inner %" PRId64 ", below %" PRId64
                    ", above %" PRId64 ", border %" PRId64 ", number %" PRId64 ", threads %d\n",
                    kernels->instructions, seed, worst, solve.outer, solve.size, solve.inner, solve.below, solve.above, solve.border,
                    numbers.number, solve.threads);
    }
}

void expect_solve_refused(const char* message, const std::function<void(SolveNumbers&)>& spoil) {
    SolveNumbers numbers = {2, 10, 3, 2, 2, 2, 0, 1};
    checked_solve(numbers);
    spoil(numbers);
    std::string said = "nothing";
    try {
        checked_solve(numbers);
    } catch (const BadNumber& error) {
        said = error.what();
    }
    if (said == message) return;
    ++failures;
    std::printf("FAILED checked_solve: wanted \"%s\", got \"%s\"\n", message, said.c_str());
}

void test_checked_solve() {
    const int64_t most = std::numeric_limits<int64_t>::max();
    expect_solve_refused("outer must be at least 1; got 0", [](SolveNumbers& n) { n.outer = 0; });
    expect_solve_refused("size must be at least 1; got -3", [](SolveNumbers& n) { n.size = -3; });
    expect_solve_refused("inner must be at least 1; got 0", [](SolveNumbers& n) { n.inner = 0; });
    expect_solve_refused("below must be at least 0; got -1", [](SolveNumbers& n) { n.below = -1; });
    expect_solve_refused("above must be at most the size 10; got 11", [](SolveNumbers& n) { n.above = 11; });
    expect_solve_refused("border must be at most the size 10; got 11", [](SolveNumbers& n) { n.border = 11; });
    expect_solve_refused("number must be 0 (float32) or 1 (float64); got 2", [](SolveNumbers& n) { n.number = 2; });
    expect_solve_refused("threads must be at least 1; got 0", [](SolveNumbers& n) { n.threads = 0; });
    const char* const too_large = "the map does not fit 64 bits; use a smaller one";
    expect_solve_refused(too_large, [=](SolveNumbers& n) { n.outer = most; });
    expect_solve_refused(too_large, [=](SolveNumbers& n) { n.inner = most; });
    expect_solve_refused(too_large, [=](SolveNumbers& n) { n.size = most / 4096; });
}

void test_dispatch() {
    const std::vector<const Kernels*> found = available_kernels();
    expect(std::strcmp(found.back()->instructions, "baseline") == 0, "baseline runs everywhere");
    expect(&chosen_kernels() == found.front(), "the best set is chosen");
    for (const Kernels* kernels : found) {
        expect(choose_kernels(kernels->instructions) && &chosen_kernels() == kernels, "an available set can be chosen");
    }
    expect(!choose_kernels("sse9"), "an unknown set cannot be chosen");
}

}  // namespace

int main(int count, char** words) {
    const std::uint64_t problems = count > 1 ? std::strtoull(words[1], nullptr, 10) : 2500;
    const std::uint64_t first = count > 2 ? std::strtoull(words[2], nullptr, 10) : 0;
    test_dispatch();
    test_share();
    test_checked();
    for (std::uint64_t seed = first; seed < first + problems && failures < most_failures; ++seed) {
        Random random(seed);
        test_problem(seed, draw_problem(random));
    }
    test_large_problems();
    test_wide_problems();
    for (std::uint64_t seed = first; seed < first + problems && failures < most_failures; ++seed) {
        Random random(seed + 500000);
        test_shuffle(seed, draw_shuffle(random), random.between(0, 1));
    }
    test_large_shuffles();
    test_checked_shuffle();
    for (std::uint64_t seed = first; seed < first + problems / 4 && failures < most_failures; ++seed) {
        Random random(seed + 700000);
        test_solve(seed, draw_solve(random));
    }
    test_checked_solve();
    for (std::uint64_t seed = first; seed < first + problems / 8 && failures < most_failures; ++seed) {
        Random random(seed + 900000);
        test_minimal(seed, draw_minimal(random));
    }
    test_large_minimal();
    test_checked_minimal();
    if (failures != 0) {
        std::printf("%d failures\n", failures);
        return 1;
    }
    std::printf("%" PRIu64 " problems in", problems);
    for (const Kernels* kernels : available_kernels()) std::printf(" %s", kernels->instructions);
    std::printf(": all as the formula says\n");
    return 0;
}
