// A row of the input into a line: numbers as sums keep them, with the border around, so that every tap finds its cell.
#pragma once

#include <cstdint>

#include "cells.h"
#include "number.h"
#include "problem.h"

namespace upstroke {
namespace {

enum class Write { set, set_scaled, add_scaled };

template <Write how, class S>
inline void write(S* to, S value, S factor) {
    if (how == Write::set) *to = value;
    if (how == Write::set_scaled) *to = factor * value;
    if (how == Write::add_scaled) *to += factor * value;
}

template <Write how, class T>
void write_run(Sum<T>* __restrict to, const T* __restrict from, std::int64_t count, Sum<T> factor) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < count; ++i) write<how>(to + i, load(from[i]), factor);
}

// The cells at `count` places from `place` on, of `width` numbers each, run by run of neighbours in memory.
template <Write how, class T>
void fill_line(Sum<T>* line, const T* row, const Axis& axis, std::int64_t place, std::int64_t count, std::int64_t width,
               Sum<T> factor) {
    while (count > 0) {
        const std::int64_t cell = cell_at(axis, place);
        const bool beyond = place < 0 || place >= axis.cells;
        std::int64_t run = axis.cells - cell;
        if (beyond && axis.border != Border::circular) run = place < 0 ? -place : count;
        if (run > count) run = count;
        if (cell < 0) {
            if (how != Write::add_scaled) {
                for (std::int64_t i = 0; i < run * width; ++i) line[i] = 0;
            }
        } else if (beyond && axis.border == Border::clamp && width == 1) {
            const Sum<T> edge = load(row[cell]);
            for (std::int64_t i = 0; i < run; ++i) write<how>(line + i, edge, factor);
        } else if (beyond && axis.border == Border::clamp) {
            for (std::int64_t i = 0; i < run; ++i) write_run<how>(line + i * width, row + cell * width, width, factor);
        } else {
            write_run<how>(line, row + cell * width, run * width, factor);
        }
        line += run * width;
        place += run;
        count -= run;
    }
}

}  // namespace
}  // namespace upstroke
