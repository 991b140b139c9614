// A list that grows as things are put into it.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace upstroke {
namespace {

template <class T>
class List {
  public:
    List() = default;
    ~List() { std::free(data_); }
    List(const List&) = delete;
    List& operator=(const List&) = delete;

    std::int64_t count() const { return count_; }
    const T* get() const { return data_; }
    T& operator[](std::int64_t index) { return data_[index]; }
    const T& operator[](std::int64_t index) const { return data_[index]; }

    void clear() { count_ = 0; }
    // False: there was no memory.
    bool push(const T& thing) {
        if (count_ == room_) {
            const std::int64_t room = room_ == 0 ? 64 : 2 * room_;
            void* const grown = std::realloc(data_, static_cast<std::size_t>(room) * sizeof(T));
            if (grown == nullptr) return false;
            data_ = static_cast<T*>(grown);
            room_ = room;
        }
        data_[count_++] = thing;
        return true;
    }

  private:
    T* data_ = nullptr;
    std::int64_t count_ = 0;
    std::int64_t room_ = 0;
};

}  // namespace
}  // namespace upstroke
