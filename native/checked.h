// Numbers from outside become a Problem that no kernel can be hurt by, or an error that says what is wrong.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "problem.h"

namespace upstroke {

// A number that means nothing here; Python sees a ValueError.
struct BadNumber : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// One number per axis where there is a list; border and number are those of the enums.
struct Numbers {
    std::int64_t batch;
    std::int64_t channels;
    std::int64_t tap_channels;
    std::vector<std::int64_t> cells;
    std::vector<std::int64_t> samples;
    std::vector<std::int64_t> scale;
    std::vector<std::int64_t> kernel;
    std::vector<std::int64_t> crop;
    std::vector<std::int64_t> border;
    bool channels_last;
    std::int64_t number;
    std::int64_t threads;
};

Problem checked(const Numbers& numbers);

// Elements of the map at the low rate, of the map at the high rate, of the taps and of the kernel, which cannot overflow in
// a problem that was checked; nor can their bytes.
std::int64_t elements_of_x(const Problem& problem);
std::int64_t elements_of_y(const Problem& problem);
std::int64_t elements_of_taps(const Problem& problem);
std::int64_t elements_of_kernel(const Problem& problem);

// Bytes of one element of a map, and of one tap.
std::int64_t bytes_of_number(const Problem& problem);
std::int64_t bytes_of_tap(const Problem& problem);

}  // namespace upstroke
