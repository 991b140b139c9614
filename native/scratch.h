// Memory for the few rows that a kernel works on: aligned, freed at the end, null where there was none.
#pragma once

#include <cstddef>
#include <cstdlib>

namespace upstroke {
namespace {

// Nothing of the standard library's templates here: this is compiled for several sets of instructions, and the
// linker would keep one copy of a template for all of them.
template <class T>
class Scratch {
  public:
    explicit Scratch(std::size_t count) {
        if (count > (static_cast<std::size_t>(-1) - 63) / sizeof(T)) return;
        data_ = static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64 + 64));
    }
    ~Scratch() { std::free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    explicit operator bool() const { return data_ != nullptr; }
    T* get() const { return data_; }
    T& operator[](std::ptrdiff_t index) const { return data_[index]; }

  private:
    T* data_ = nullptr;
};

}  // namespace
}  // namespace upstroke
