// One unit of a transposed convolution by minimal filtering: sums of cells, a matrix product for each, sums of the products.
#pragma once

#include <cstdint>
#include <cstring>

#include "interleave.h"
#include "lanes.h"
#include "minimal_problem.h"
#include "scratch.h"
#include "shuffle.h"
#include "stream.h"

namespace upstroke {
namespace {

// Rows and vectors of a product that stay in registers, with one row of the weight and one number of the map.
#if defined(__AVX512F__)
constexpr int product_rows = 6, product_vectors = 4;
#else
constexpr int product_rows = 4, product_vectors = 2;
#endif

// out[r][v] = sum over k of rows[r][k] * weight[k][v]; a row of the weight is `width` numbers.
template <int count, int vectors>
UPSTROKE_INLINE void product_of(const float* const* rows, std::int64_t channels, const float* weight, std::int64_t width,
                                float* const* out) {
    constexpr int n = lanes<float>;
    Floats sums[count][vectors];
    const float* row[count];
    for (int r = 0; r < count; ++r) {
        row[r] = rows[r];
        for (int v = 0; v < vectors; ++v) sums[r][v] = Floats{};
    }
    for (std::int64_t k = 0; k < channels; ++k, weight += width) {
        Floats each[vectors];
        for (int v = 0; v < vectors; ++v) each[v] = load_vector(weight + v * n);
        for (int r = 0; r < count; ++r) {
            const Floats number = all(row[r][k]);
            for (int v = 0; v < vectors; ++v) sums[r][v] += number * each[v];
        }
    }
    for (int r = 0; r < count; ++r) {
        for (int v = 0; v < vectors; ++v) store_vector(sums[r][v], out[r] + v * n);
    }
}

template <int count, int vectors>
void products_across(const float* const* rows, std::int64_t channels, const float* weight, std::int64_t width, float* const* out) {
    constexpr std::int64_t step = vectors * lanes<float>;
    for (std::int64_t start = 0; start < width; start += step) {
        float* to[count];
        for (int r = 0; r < count; ++r) to[r] = out[r] + start;
        product_of<count, vectors>(rows, channels, weight + start, width, to);
    }
}

template <int count>
void products_of(const float* const* rows, std::int64_t channels, const float* weight, std::int64_t width, float* const* out) {
    if constexpr (product_vectors == 4) {
        if (width % (4 * lanes<float>) == 0) return products_across<count, 4>(rows, channels, weight, width, out);
    }
    if (width % (2 * lanes<float>) == 0) return products_across<count, 2>(rows, channels, weight, width, out);
    products_across<count, 1>(rows, channels, weight, width, out);
}

inline void some_products(int count, const float* const* rows, std::int64_t channels, const float* weight, std::int64_t width,
                          float* const* out) {
    switch (count) {
        case 1: return products_of<1>(rows, channels, weight, width, out);
        case 2: return products_of<2>(rows, channels, weight, width, out);
        case 3: return products_of<3>(rows, channels, weight, width, out);
        case 4: return products_of<4>(rows, channels, weight, width, out);
#if defined(__AVX512F__)
        case 5: return products_of<5>(rows, channels, weight, width, out);
        case 6: return products_of<6>(rows, channels, weight, width, out);
#endif
    }
}

// Square of `lanes` rows of numbers, turned over: to[j][i] = from[i][j].
template <bool past_caches>
UPSTROKE_INLINE void turn_square(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
    Floats each[lanes<float>];
    for (int i = 0; i < lanes<float>; ++i) each[i] = load_vector(from + i * from_stride);
    zip<float, lanes<float>>(each);
    for (int j = 0; j < lanes<float>; ++j) put_vector<past_caches>(each[j], to + j * to_stride);
}

// to[j][i] = from[i][j]; the last squares end with the last row and column, and have something in common with those before.
// Cells, of which there are more than channels in a block, are walked along innermost.
template <bool rows_inside, bool past_caches>
void turn(const float* from, std::int64_t from_stride, std::int64_t rows, float* to, std::int64_t to_stride, std::int64_t columns) {
    constexpr std::int64_t n = lanes<float>;
    if (rows < n || columns < n) {
        for (std::int64_t i = 0; i < rows; ++i) {
            for (std::int64_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
        }
        return;
    }
    const std::int64_t across = rows_inside ? columns : rows, along = rows_inside ? rows : columns;
    for (std::int64_t a = 0; a < across; a += n) {
        const std::int64_t place = a > across - n ? across - n : a;
        std::int64_t b = 0;
        for (; b + n <= along; b += n) {
            const std::int64_t i = rows_inside ? b : place, j = rows_inside ? place : b;
            turn_square<past_caches>(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
        }
        if (b == along) continue;
        b = along - n;
        const std::int64_t i = rows_inside ? b : place, j = rows_inside ? place : b;
        turn_square<false>(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    }
}

// to = first + sign * second, of numbers that fill vectors only in part.
inline void combine(const float* first, const float* second, float sign, float* to, std::int64_t count) {
    constexpr std::int64_t n = lanes<float>;
    std::int64_t k = 0;
    if (sign == 0.0f) {
        std::memcpy(to, first, static_cast<std::size_t>(count) * sizeof *to);
        return;
    }
    const Floats factor = all(sign);
    for (; k + n <= count; k += n) store_vector(load_vector(first + k) + factor * load_vector(second + k), to + k);
    for (; k < count; ++k) to[k] = first[k] + sign * second[k];
}

// From one row of channels to the next: no power of two, so that rows do not meet in one place of a cache.
inline std::int64_t row_stride(std::int64_t channels) { return (channels + 15) / 16 * 16 + 16; }

class MinimalRun {
  public:
    MinimalRun(const Minimal& problem, const MinimalUnit& unit, const float* x, const float* weight, const float* bias, float* y)
        : problem_(problem), unit_(unit), x_(x), weight_(weight), bias_(bias), y_(y), stride_(row_stride(problem.channels)),
          inside_(problem.channels_last ? 0 : size_of(unit.maps * unit.rows.cells_read * unit.columns.cells_read * stride_)),
          line_(size_of(unit.columns.cells_read * stride_)),
          read_(size_of(unit.maps * unit.rows.readings * unit.columns.readings * stride_)),
          products_(size_of(unit.maps * most_products(unit.rows) * most_products(unit.columns) * widest_block)),
          drawn_(problem.channels_last ? 0 : size_of(unit.maps * unit.rows.samples * unit.columns.samples * widest_block)) {}

    bool operator()() {
        if (!inside_ || !line_ || !read_ || !products_ || !drawn_) return false;
        read_cells();
        const float* weight = weight_;
        for (std::int64_t first = 0; first < problem_.out;) {
            const std::int64_t width = block_width(problem_.out - first);
            for (std::int64_t p0 = 0; p0 < unit_.rows.scale; ++p0) {
                for (std::int64_t p1 = 0; p1 < unit_.columns.scale; ++p1) {
                    const AxisPhase &rows = unit_.rows.phases[p0], &columns = unit_.columns.phases[p1];
                    for (int w0 = 0; w0 < rows.sums; ++w0) {
                        for (int w1 = 0; w1 < columns.sums; ++w1) {
                            multiply(rows, w0, columns, w1, weight, width);
                            weight += problem_.channels * width;
                        }
                    }
                    draw(rows, p0, columns, p1, first, width);
                }
            }
            if (!problem_.channels_last) move_outside(first, width);
            first += width;
        }
        return true;
    }

  private:
    static std::size_t size_of(std::int64_t count) { return static_cast<std::size_t>(count); }

    static std::int64_t most_products(const AxisPlan& axis) {
        std::int64_t most = 0;
        for (std::int64_t p = 0; p < axis.scale; ++p) most = axis.phases[p].products > most ? axis.phases[p].products : most;
        return most;
    }

    // The channels of a cell, by its place in the whole map.
    const float* cell(std::int64_t map, std::int64_t m0, std::int64_t m1) const {
        if (problem_.channels_last) {
            return x_ + (((unit_.first_map + map) * problem_.cells[0] + m0) * problem_.cells[1] + m1) * problem_.channels;
        }
        const std::int64_t row = map * unit_.rows.cells_read + m0 - unit_.rows.first_read;
        return &inside_[(row * unit_.columns.cells_read + m1 - unit_.columns.first_read) * stride_];
    }

    float* read(std::int64_t map, std::int64_t r0, std::int64_t r1) const {
        return &read_[((map * unit_.rows.readings + r0) * unit_.columns.readings + r1) * stride_];
    }

    // The cells of the unit with their channels innermost.
    void move_inside() {
        const std::int64_t line = problem_.cells[1], area = problem_.cells[0] * line;
        const std::int64_t count = unit_.rows.cells_read * line;
        for (std::int64_t map = 0; map < unit_.maps; ++map) {
            turn<false, false>(x_ + (unit_.first_map + map) * problem_.channels * area + unit_.rows.first_read * line, area, problem_.channels,
                 &inside_[map * count * stride_], stride_, count);
        }
    }

    void read_cells() {
        if (!problem_.channels_last) move_inside();
        const std::int64_t channels = problem_.channels, left = unit_.columns.first_read;
        for (std::int64_t map = 0; map < unit_.maps; ++map) {
            for (std::int64_t r0 = 0; r0 < unit_.rows.readings; ++r0) {
                const Reading& row = unit_.rows.reading[r0];
                for (std::int64_t m1 = 0; m1 < unit_.columns.cells_read; ++m1) {
                    combine(cell(map, row.first, left + m1), cell(map, row.second, left + m1), row.sign, &line_[m1 * stride_], channels);
                }
                for (std::int64_t r1 = 0; r1 < unit_.columns.readings; ++r1) {
                    const Reading& column = unit_.columns.reading[r1];
                    combine(&line_[(column.first - left) * stride_], &line_[(column.second - left) * stride_], column.sign,
                            read(map, r0, r1), channels);
                }
            }
        }
    }

    // Every product with one pair of sums of taps.
    void multiply(const AxisPhase& rows, int w0, const AxisPhase& columns, int w1, const float* weight, std::int64_t width) {
        const float* from[product_rows];
        float* to[product_rows];
        int count = 0;
        const std::int64_t across = columns.sum_starts[w1 + 1] - columns.sum_starts[w1];
        std::int64_t left = unit_.maps * (rows.sum_starts[w0 + 1] - rows.sum_starts[w0]) * across;
        if (left == 0) return;
        // as equal parts as there can be
        const std::int64_t parts = (left + product_rows - 1) / product_rows;
        const int few = static_cast<int>((left + parts - 1) / parts);
        for (std::int64_t map = 0; map < unit_.maps; ++map) {
            for (std::int64_t i0 = rows.sum_starts[w0]; i0 < rows.sum_starts[w0 + 1]; ++i0) {
                for (std::int64_t i1 = columns.sum_starts[w1]; i1 < columns.sum_starts[w1 + 1]; ++i1) {
                    from[count] = read(map, rows.readings[i0], columns.readings[i1]);
                    to[count] = product(map, rows, i0, columns, i1, width);
                    ++count;
                    --left;
                    if (count == few || left == 0) {
                        some_products(count, from, problem_.channels, weight, width, to);
                        count = 0;
                    }
                }
            }
        }
    }

    float* product(std::int64_t map, const AxisPhase& rows, std::int64_t i0, const AxisPhase& columns, std::int64_t i1, std::int64_t width) const {
        return &products_[((map * rows.products + i0) * columns.products + i1) * width];
    }

    // The samples of one phase, for one block of channels.
    void draw(const AxisPhase& rows, std::int64_t p0, const AxisPhase& columns, std::int64_t p1, std::int64_t first, std::int64_t width) {
        const std::int64_t there = problem_.out - first < width ? problem_.out - first : width;
        alignas(64) float shift[widest_block] = {}, some[widest_block];
        if (bias_ != nullptr) std::memcpy(shift, bias_ + first, static_cast<std::size_t>(there) * sizeof *shift);
        for (std::int64_t map = 0; map < unit_.maps; ++map) {
            const float* const products = &products_[map * rows.products * columns.products * width];
            for (std::int64_t j0 = 0; j0 < rows.outputs; ++j0) {
                const std::int64_t n0 = (rows.first_cell + j0) * unit_.rows.scale + p0;
                for (std::int64_t j1 = 0; j1 < columns.outputs; ++j1) {
                    const std::int64_t n1 = (columns.first_cell + j1) * unit_.columns.scale + p1;
                    float* const to = sample(map, n0, n1, first, width);
                    if (there == width || !problem_.channels_last) {
                        add_up(products, rows, j0, columns, j1, shift, to, width);
                    } else {
                        add_up(products, rows, j0, columns, j1, shift, some, width);
                        std::memcpy(to, some, static_cast<std::size_t>(there) * sizeof *to);
                    }
                }
            }
        }
    }

    // One sample: its products, and the bias that it begins with.
    UPSTROKE_INLINE void add_up(const float* products, const AxisPhase& rows, std::int64_t j0, const AxisPhase& columns,
                                std::int64_t j1, const float* shift, float* to, std::int64_t width) const {
        constexpr int most = product_vectors;
        constexpr std::int64_t n = lanes<float>;
        std::int64_t v = 0;
        for (; v + most * n <= width; v += most * n) add_vectors<most>(products + v, rows, j0, columns, j1, shift + v, to + v, width);
        for (; v < width; v += n) add_vectors<1>(products + v, rows, j0, columns, j1, shift + v, to + v, width);
    }

    template <int vectors>
    UPSTROKE_INLINE void add_vectors(const float* products, const AxisPhase& rows, std::int64_t j0, const AxisPhase& columns,
                                     std::int64_t j1, const float* shift, float* to, std::int64_t width) const {
        constexpr std::int64_t n = lanes<float>;
        Floats sums[vectors];
        for (int v = 0; v < vectors; ++v) sums[v] = load_vector(shift + v * n);
        for (std::int64_t a = rows.part_starts[j0]; a < rows.part_starts[j0 + 1]; ++a) {
            const Part& down = rows.parts[a];
            const float* const line = products + down.product * columns.products * width;
            for (std::int64_t b = columns.part_starts[j1]; b < columns.part_starts[j1 + 1]; ++b) {
                const Part& along = columns.parts[b];
                const float* const product = line + along.product * width;
                const Floats sign = all(down.sign * along.sign);
                for (int v = 0; v < vectors; ++v) sums[v] += sign * load_vector(product + v * n);
            }
        }
        for (int v = 0; v < vectors; ++v) store_vector(sums[v], to + v * n);
    }

    // Where the channels of a sample are drawn: in the output, or in a block of it whose channels lie innermost.
    float* sample(std::int64_t map, std::int64_t n0, std::int64_t n1, std::int64_t first, std::int64_t width) const {
        if (problem_.channels_last) {
            return y_ + (((unit_.first_map + map) * problem_.samples[0] + n0) * problem_.samples[1] + n1) * problem_.out + first;
        }
        const std::int64_t row = map * unit_.rows.samples + n0 - unit_.rows.first_sample;
        return &drawn_[(row * unit_.columns.samples + n1) * width];
    }

    void move_outside(std::int64_t first, std::int64_t width) {
        const std::int64_t line = problem_.samples[1], area = problem_.samples[0] * line, count = unit_.rows.samples * line;
        const std::int64_t there = problem_.out - first < width ? problem_.out - first : width;
        for (std::int64_t map = 0; map < unit_.maps; ++map) {
            const float* const from = &drawn_[map * count * width];
            float* const to = y_ + ((unit_.first_map + map) * problem_.out + first) * area + unit_.rows.first_sample * line;
            const bool is_aligned = reinterpret_cast<std::uintptr_t>(to) % vector_bytes == 0;
            if (is_aligned && goes_past_caches<float>(problem_.batch * problem_.out * area, area)) {
                turn<true, true>(from, width, count, to, area, there);
            } else {
                turn<true, false>(from, width, count, to, area, there);
            }
        }
        end_stream();
    }

    const Minimal& problem_;
    const MinimalUnit& unit_;
    const float* const x_;
    const float* const weight_;
    const float* const bias_;
    float* const y_;
    const std::int64_t stride_;
    Scratch<float> inside_, line_, read_, products_, drawn_;
};

bool minimal_unit(const Minimal& problem, const MinimalUnit& unit, const float* x, const float* weight, const float* bias, float* y) {
    return MinimalRun(problem, unit, x, weight, bias, y)();
}

}  // namespace
}  // namespace upstroke
