#include "minimal_apply.h"

#include <algorithm>
#include <limits>
#include <map>
#include <new>
#include <string>
#include <tuple>
#include <utility>

#include "checked.h"
#include "pages.h"
#include "parallel.h"

namespace upstroke {
namespace {

constexpr std::int64_t farthest = std::numeric_limits<std::int64_t>::max() / 64;
constexpr std::int64_t most_threads = 1024;

// Bytes of sums of cells that a unit has at least, where there are so many: enough for a weight that comes from memory to be
// used for many rows, and few enough to be found in a cache again.
constexpr std::int64_t bytes_of_unit = std::int64_t{1} << 20;

// Cells of a strip of rows are a multiple of this, so that it begins where groups of two and of three samples do.
constexpr std::int64_t strip_step = 6;

std::string text(std::int64_t value) { return std::to_string(value); }

void at_least(const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) throw BadNumber(std::string(name) + " must be at least " + text(least) + "; got " + text(value));
}

std::int64_t times(std::int64_t a, std::int64_t b) {
    if (a > farthest / std::max<std::int64_t>(1, b)) throw BadNumber("the map does not fit 64 bits; use a smaller one");
    return a * b;
}

void two_of(const char* name, std::size_t count) {
    if (count != 2) throw BadNumber(std::string(name) + " must have 2 numbers, one per axis; got " + std::to_string(count));
}

// One phase: sample scale * m + p = sum over i < taps of kernel[last - scale * i] * x[m + shift + i].
struct PhaseTaps {
    std::int64_t taps, last, shift;
};

PhaseTaps taps_of(std::int64_t scale, std::int64_t kernel, std::int64_t padding, std::int64_t phase) {
    const std::int64_t place = phase + padding, first = place % scale;
    const std::int64_t taps = first < kernel ? (kernel - first + scale - 1) / scale : 0;
    return {taps, first + scale * (taps - 1), place / scale - taps + 1};
}

// The sums of taps of a phase, as factors of its taps; those that a lone tap needs are among them.
using Sums = std::vector<std::vector<float>>;

const Sums& sums_of(std::int64_t taps) {
    static const Sums every[] = {
        {},
        {{1}},
        {{1, 0}, {0.5f, 0.5f}, {0.5f, -0.5f}, {0, 1}},
        {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}, {0, 1, 0}},
    };
    return every[taps];
}

int sum_of_lone_tap(std::int64_t taps, std::int64_t tap) {
    static const int every[][most_taps] = {{0, 0, 0}, {0, 0, 0}, {0, 3, 0}, {0, 4, 3}};
    return every[taps][tap];
}

// An axis while it is laid out.
class AxisBuilder {
  public:
    // The samples of cells m in [first, last), and behind the last cell those that are left.
    AxisBuilder(std::int64_t cells, std::int64_t samples, std::int64_t scale, std::int64_t kernel, std::int64_t padding,
                std::int64_t first, std::int64_t last)
        : cells_(cells) {
        phases_.resize(static_cast<std::size_t>(scale));
        std::int64_t low = samples, high = 0;
        for (std::int64_t p = 0; p < scale; ++p) {
            const PhaseTaps taps = taps_of(scale, kernel, padding, p);
            const std::int64_t outputs = p < samples ? (samples - p + scale - 1) / scale : 0;
            const std::int64_t from = std::min(outputs, first), to = last >= cells ? outputs : std::min(outputs, last);
            lay_out(phases_[static_cast<std::size_t>(p)], taps, from, to);
            if (from < to) {
                low = std::min(low, scale * from + p);
                high = std::max(high, scale * (to - 1) + p + 1);
            }
        }
        plan_.scale = scale;
        plan_.first_sample = std::min(low, high);
        plan_.samples = high - plan_.first_sample;
        finish();
    }

    const AxisPlan& plan() const { return plan_; }

  private:
    struct Product {
        int sum;
        std::int64_t reading;
        std::vector<std::pair<std::int64_t, float>> outputs;
    };
    struct Phase {
        AxisPhase shape = {};
        std::vector<Product> products;
        std::vector<std::int64_t> readings, part_starts;
        std::vector<Part> parts;
    };

    std::int64_t reading(std::int64_t first, std::int64_t second, float sign) {
        const auto key = std::make_tuple(first, second, sign);
        const auto found = known_.find(key);
        if (found != known_.end()) return found->second;
        readings_.push_back({first, second, sign});
        return known_[key] = static_cast<std::int64_t>(readings_.size()) - 1;
    }

    void lay_out(Phase& phase, const PhaseTaps& taps, std::int64_t from, std::int64_t to) {
        phase.shape.first_cell = from;
        phase.shape.outputs = to - from;
        phase.shape.sums = static_cast<int>(sums_of(taps.taps).size());
        const auto add = [&](int sum, std::int64_t first, std::int64_t second, float sign,
                             std::vector<std::pair<std::int64_t, float>> outputs) {
            phase.products.push_back({sum, reading(first, second, sign), std::move(outputs)});
        };
        const std::int64_t most = taps.taps == 2 ? 3 : taps.taps == 3 ? 2 : 1;
        for (std::int64_t m = from; m < to;) {
            const std::int64_t a = m + taps.shift, j = m - from;
            // outputs from here on whose taps all meet a cell, up to where the next group begins
            const std::int64_t whole = std::min({to - m, most - (a % most + most) % most, cells_ - taps.taps + 1 - a});
            if (a < 0 || whole < 2) {
                for (std::int64_t i = 0; i < taps.taps; ++i) {
                    if (a + i >= 0 && a + i < cells_) add(sum_of_lone_tap(taps.taps, i), a + i, a + i, 0, {{j, 1.0f}});
                }
                ++m;
            } else if (taps.taps == 2 && whole == 2) {
                add(0, a, a + 1, -1, {{j, 1.0f}});
                add(1, a + 1, a + 1, 1, {{j, 1.0f}, {j + 1, 1.0f}});
                add(3, a + 2, a + 1, -1, {{j + 1, 1.0f}});
                m += 2;
            } else {
                // three samples of two taps, or two of three
                const std::int64_t end = j + whole - 1;
                std::vector<std::pair<std::int64_t, float>> sum = {{j, 1.0f}, {j + 1, 1.0f}}, difference = {{j, 1.0f}, {j + 1, -1.0f}};
                if (whole == 3) {
                    sum.push_back({end, 1.0f});
                    difference.push_back({end, 1.0f});
                }
                add(0, a, a + 2, -1, {{j, 1.0f}});
                add(1, a + 1, a + 2, 1, sum);
                add(2, a + 2, a + 1, -1, difference);
                add(3, a + 3, a + 1, -1, {{end, 1.0f}});
                m += whole;
            }
        }
        std::stable_sort(phase.products.begin(), phase.products.end(), [](const Product& a, const Product& b) { return a.sum < b.sum; });
    }

    void finish() {
        for (Phase& phase : phases_) {
            AxisPhase& shape = phase.shape;
            shape.products = static_cast<std::int64_t>(phase.products.size());
            std::vector<std::vector<Part>> parts(static_cast<std::size_t>(shape.outputs));
            for (std::int64_t i = 0; i < shape.products; ++i) {
                const Product& product = phase.products[static_cast<std::size_t>(i)];
                phase.readings.push_back(product.reading);
                for (int w = product.sum; w < most_sums; ++w) shape.sum_starts[w + 1] = i + 1;
                for (const auto& output : product.outputs) parts[static_cast<std::size_t>(output.first)].push_back({i, output.second});
            }
            phase.part_starts.push_back(0);
            for (const auto& some : parts) {
                phase.parts.insert(phase.parts.end(), some.begin(), some.end());
                phase.part_starts.push_back(static_cast<std::int64_t>(phase.parts.size()));
            }
            shape.readings = phase.readings.data();
            shape.part_starts = phase.part_starts.data();
            shape.parts = phase.parts.data();
            shapes_.push_back(shape);
        }
        std::int64_t low = cells_, high = 0;
        for (const Reading& each : readings_) {
            low = std::min({low, each.first, each.second});
            high = std::max({high, each.first + 1, each.second + 1});
        }
        plan_.readings = static_cast<std::int64_t>(readings_.size());
        plan_.reading = readings_.data();
        plan_.phases = shapes_.data();
        plan_.first_read = std::min(low, high);
        plan_.cells_read = high - plan_.first_read;
    }

    std::int64_t cells_;
    std::map<std::tuple<std::int64_t, std::int64_t, float>, std::int64_t> known_;
    std::vector<Reading> readings_;
    std::vector<Phase> phases_;
    std::vector<AxisPhase> shapes_;
    AxisPlan plan_ = {};
};

AxisBuilder axis_of(const Minimal& problem, int axis, std::int64_t first, std::int64_t last) {
    return AxisBuilder(problem.cells[axis], problem.samples[axis], problem.scale[axis], problem.kernel[axis], problem.padding[axis], first, last);
}

std::int64_t all_sums(const Minimal& problem, int axis) {
    std::int64_t count = 0;
    for (std::int64_t p = 0; p < problem.scale[axis]; ++p) {
        count += static_cast<std::int64_t>(sums_of(taps_of(problem.scale[axis], problem.kernel[axis], problem.padding[axis], p).taps).size());
    }
    return count;
}

std::int64_t padded_out(std::int64_t out) {
    std::int64_t width = 0;
    for (std::int64_t first = 0; first < out;) {
        width += block_width(out - first);
        first += block_width(out - first);
    }
    return width;
}

}  // namespace

Minimal checked_minimal(const MinimalNumbers& numbers) {
    Minimal problem = {};
    at_least("batch", numbers.batch, 1);
    at_least("channels", numbers.channels, 1);
    at_least("out", numbers.out, 1);
    at_least("threads", numbers.threads, 1);
    problem.batch = numbers.batch;
    problem.channels = numbers.channels;
    problem.out = numbers.out;
    const std::pair<const char*, const std::vector<std::int64_t>*> lists[] = {
        {"cells", &numbers.cells}, {"samples", &numbers.samples}, {"scale", &numbers.scale},
        {"kernel", &numbers.kernel}, {"padding", &numbers.padding}};
    for (const auto& list : lists) two_of(list.first, list.second->size());
    std::int64_t numbers_in = times(numbers.batch, numbers.channels), numbers_out = times(numbers.batch, numbers.out);
    std::int64_t weight = times(numbers.channels, numbers.out);
    for (std::size_t axis = 0; axis < 2; ++axis) {
        for (const auto& list : lists) at_least(list.first, (*list.second)[axis], list.second == &numbers.padding ? 0 : 1);
        problem.cells[axis] = numbers.cells[axis];
        problem.samples[axis] = numbers.samples[axis];
        problem.scale[axis] = numbers.scale[axis];
        problem.kernel[axis] = numbers.kernel[axis];
        problem.padding[axis] = numbers.padding[axis];
        times(numbers.scale[axis], most_taps);
        if ((problem.kernel[axis] - 1) / problem.scale[axis] >= most_taps) {
            throw BadNumber("kernel must be at most " + text(most_taps * problem.scale[axis]) + " for scale " + text(problem.scale[axis]) +
                            ", so that no phase has more than " + text(most_taps) + " taps; got " + text(problem.kernel[axis]));
        }
        // places are sums of a few of these, and there are more sums of cells and of taps than cells and taps
        times(numbers.padding[axis], 4);
        numbers_in = times(numbers_in, times(numbers.cells[axis], 8));
        numbers_out = times(numbers_out, times(numbers.samples[axis], 8));
        weight = times(weight, times(numbers.scale[axis], most_sums));
    }
    times(weight, 64);
    problem.channels_last = numbers.channels_last;
    problem.threads = static_cast<int>(std::min(numbers.threads, most_threads));
    return problem;
}

std::int64_t prepared_size(const Minimal& problem) {
    return all_sums(problem, 0) * all_sums(problem, 1) * problem.channels * padded_out(problem.out);
}

void prepare_minimal(const Minimal& problem, const float* weight, float* prepared) {
    const std::int64_t area = problem.kernel[0] * problem.kernel[1];
    std::vector<float> taps(static_cast<std::size_t>(area * widest_block));
    for (std::int64_t first = 0; first < problem.out;) {
        const std::int64_t width = block_width(problem.out - first), there = std::min(width, problem.out - first);
        std::int64_t pairs = 0;
        for (std::int64_t k = 0; k < problem.channels; ++k) {
            std::fill(taps.begin(), taps.end(), 0.0f);
            const float* const from = weight + (k * problem.out + first) * area;
            for (std::int64_t c = 0; c < there; ++c) {
                for (std::int64_t t = 0; t < area; ++t) taps[static_cast<std::size_t>(t * width + c)] = from[c * area + t];
            }
            pairs = 0;
            for (std::int64_t p0 = 0; p0 < problem.scale[0]; ++p0) {
                for (std::int64_t p1 = 0; p1 < problem.scale[1]; ++p1) {
                    const PhaseTaps down = taps_of(problem.scale[0], problem.kernel[0], problem.padding[0], p0);
                    const PhaseTaps along = taps_of(problem.scale[1], problem.kernel[1], problem.padding[1], p1);
                    for (const auto& sum0 : sums_of(down.taps)) {
                        for (const auto& sum1 : sums_of(along.taps)) {
                            float* const to = prepared + (pairs * problem.channels + k) * width;
                            std::fill(to, to + width, 0.0f);
                            for (std::int64_t i = 0; i < down.taps; ++i) {
                                for (std::int64_t j = 0; j < along.taps; ++j) {
                                    const float factor = sum0[static_cast<std::size_t>(i)] * sum1[static_cast<std::size_t>(j)];
                                    if (factor == 0.0f) continue;
                                    const std::int64_t place = (down.last - problem.scale[0] * i) * problem.kernel[1] + along.last - problem.scale[1] * j;
                                    const float* const tap = &taps[static_cast<std::size_t>(place * width)];
                                    for (std::int64_t c = 0; c < width; ++c) to[c] += factor * tap[c];
                                }
                            }
                            ++pairs;
                        }
                    }
                }
            }
        }
        prepared += pairs * problem.channels * width;
        first += width;
    }
}

bool apply_minimal(const Kernels& kernels, const Minimal& problem, const float* x, const float* prepared, const float* bias, float* y) {
    const std::int64_t outputs = problem.batch * problem.out * problem.samples[0] * problem.samples[1];
    expect_writes(y, outputs * 4);
    const AxisBuilder columns = axis_of(problem, 1, 0, problem.cells[1]);
    // rows are read whole, since they lie side by side
    AxisPlan across = columns.plan();
    across.first_read = 0;
    across.cells_read = problem.cells[1];
    // the larger the weight, the more rows are to use it each time it is read
    const std::int64_t budget = std::max(bytes_of_unit, prepared_size(problem) * 4 / 8);
    const std::int64_t of_row = std::max<std::int64_t>(1, 3 * across.readings / 2 * problem.channels * 4);
    const std::int64_t of_map = of_row * problem.cells[0];
    const std::int64_t threads = worthwhile_threads(problem.threads, problem.batch * problem.cells[0], outputs * problem.channels);
    std::vector<std::pair<std::int64_t, std::int64_t>> strips;
    std::int64_t maps = 1;
    if (of_map > budget || problem.batch < threads) {
        const std::int64_t wanted = (threads + problem.batch - 1) / problem.batch;
        const std::int64_t most = std::max<std::int64_t>(1, std::min(budget / of_row, (problem.cells[0] + wanted - 1) / wanted));
        const std::int64_t step = (most + strip_step - 1) / strip_step * strip_step;
        for (std::int64_t first = 0; first < problem.cells[0]; first += step) strips.push_back({first, std::min(first + step, problem.cells[0])});
    } else {
        strips.push_back({0, problem.cells[0]});
        maps = std::max<std::int64_t>(1, std::min(budget / of_map, (problem.batch + threads - 1) / threads));
    }
    std::vector<AxisBuilder> rows;
    rows.reserve(strips.size());
    for (const auto& strip : strips) rows.push_back(axis_of(problem, 0, strip.first, strip.second));
    std::vector<MinimalUnit> units;
    for (std::int64_t map = 0; map < problem.batch; map += maps) {
        for (const AxisBuilder& strip : rows) units.push_back({strip.plan(), across, map, std::min(maps, problem.batch - map)});
    }
    const std::int64_t count = static_cast<std::int64_t>(units.size());
    return share(count, static_cast<int>(std::min(threads, count)), [&](int, std::int64_t first, std::int64_t last) {
        for (std::int64_t unit = first; unit < last; ++unit) {
            if (!kernels.minimal(problem, units[static_cast<std::size_t>(unit)], x, prepared, bias, y)) return false;
        }
        return true;
    });
}

}  // namespace upstroke
