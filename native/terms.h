// Sums of lines, each with its weight: where every pass of a gradient in x spends its time.
#pragma once

#include <cstdint>

#include "lanes.h"
#include "number.h"

namespace upstroke {
namespace {

template <class T>
struct Term {
    const T* line;
    Sum<T> weight;
};

template <class T, int blocks>
UPSTROKE_INLINE void sum_terms_block(const Term<T>* terms, std::int64_t count, std::int64_t at, bool onto, Sum<T>* to) {
    using S = Sum<T>;
    Vector<S> sums[blocks];
    for (int b = 0; b < blocks; ++b) sums[b] = onto ? load_vector(to + at + b * lanes<S>) : Vector<S>{};
    for (std::int64_t t = 0; t < count; ++t) {
        const Vector<S> weight = all(terms[t].weight);
        const T* const line = terms[t].line + at;
        for (int b = 0; b < blocks; ++b) sums[b] += weight * load_vector(line + b * lanes<S>);
    }
    for (int b = 0; b < blocks; ++b) store_vector(sums[b], to + at + b * lanes<S>);
}

// to[i] = sum of weight * line[i], onto what is there or not. `whole`: lines and `to` may be read and written up to
// one vector further, so that the last vector needs no care.
template <class T>
void sum_terms(const Term<T>* terms, std::int64_t count, std::int64_t numbers, bool onto, bool whole, Sum<T>* to) {
    using S = Sum<T>;
    constexpr int n = lanes<S>;
    std::int64_t at = 0;
    for (; at + 8 * n <= numbers; at += 8 * n) sum_terms_block<T, 8>(terms, count, at, onto, to);
    for (; at + 2 * n <= numbers; at += 2 * n) sum_terms_block<T, 2>(terms, count, at, onto, to);
    const std::int64_t end = whole ? numbers : numbers - n + 1;
    for (; at < end; at += n) sum_terms_block<T, 1>(terms, count, at, onto, to);
    for (; at < numbers; ++at) {
        S sum = onto ? to[at] : 0;
        for (std::int64_t t = 0; t < count; ++t) sum += terms[t].weight * load(terms[t].line[at]);
        to[at] = sum;
    }
}

// Terms in the order they come, summed when there are many or a line they need is about to go.
template <class T>
class Terms {
    using S = Sum<T>;

  public:
    // Sums of `numbers` numbers go to `to`.
    void begin(S* to, std::int64_t numbers, bool whole) {
        to_ = to;
        numbers_ = numbers;
        whole_ = whole;
        onto_ = false;
        count_ = 0;
        ++sums_;
    }
    void add(const T* line, S weight) {
        if (count_ == most) flush();
        terms_[count_++] = {line, weight};
    }
    void flush() {
        if (count_ > 0) sum_terms(terms_, count_, numbers_, onto_, whole_, to_);
        onto_ = onto_ || count_ > 0;
        count_ = 0;
    }
    void end() {
        flush();
        if (!onto_) {
            for (std::int64_t i = 0; i < numbers_; ++i) to_[i] = 0;
        }
    }
    // Counts sums: terms of an earlier one wait for no line any more.
    std::int64_t sum() const { return sums_; }

  private:
    static constexpr int most = 256;
    Term<T> terms_[most];
    int count_ = 0;
    S* to_ = nullptr;
    std::int64_t numbers_ = 0;
    bool whole_ = false;
    bool onto_ = false;
    std::int64_t sums_ = 0;
};

}  // namespace
}  // namespace upstroke
