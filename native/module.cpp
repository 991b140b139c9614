// The kernels as Python's `upstroke._native`: addresses and numbers in, nothing out.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "apply.h"
#include "checked.h"
#include "dispatch.h"

namespace nb = nanobind;
using namespace upstroke;

namespace {

using Address = std::uintptr_t;
using Sizes = std::vector<std::int64_t>;

void* memory(const char* name, Address address, std::int64_t bytes) {
    if (address == 0 || address % static_cast<Address>(bytes) != 0) {
        throw BadNumber(std::string(name) + " must be that of numbers of " + std::to_string(bytes) + " bytes; got " +
                        std::to_string(address));
    }
    return reinterpret_cast<void*>(address);
}

using Apply = bool (*)(const Kernels&, const Problem&, const void*, const void*, void*);

// What the three functions share: each is given the roles of its three addresses, of which one is the taps.
template <Apply apply, int taps_at>
void call(Address first, Address second, Address into, std::int64_t batch, std::int64_t channels, std::int64_t tap_channels,
          const Sizes& cells, const Sizes& samples, const Sizes& scale, const Sizes& kernel, const Sizes& origin,
          const Sizes& border, bool channels_last, std::int64_t number, std::int64_t threads) {
    const Problem problem = checked({batch, channels, tap_channels, cells, samples, scale, kernel, origin, border,
                                     channels_last, number, threads});
    const std::int64_t map = bytes_of_number(problem);
    const std::int64_t tap = bytes_of_tap(problem);
    const void* const a = memory("the first address", first, map);
    const void* const b = memory("the second address", second, taps_at == 1 ? tap : map);
    void* const c = memory("the third address", into, taps_at == 2 ? tap : map);
    if (!apply(chosen_kernels(), problem, a, b, c)) throw std::bad_alloc();
}

template <Apply apply, int taps_at>
void define(nb::module_& module, const char* name, const char* first, const char* second, const char* into, const char* says) {
    module.def(name, &call<apply, taps_at>, nb::arg(first), nb::arg(second), nb::arg(into), nb::arg("batch"),
               nb::arg("channels"), nb::arg("tap_channels"), nb::arg("cells"), nb::arg("samples"), nb::arg("scale"),
               nb::arg("kernel"), nb::arg("origin"), nb::arg("border"), nb::arg("channels_last"), nb::arg("number"),
               nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>(), says);
}

std::vector<std::string> available_instructions() {
    std::vector<std::string> names;
    for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->instructions);
    return names;
}

void use_instructions(const std::string& name) {
    if (choose_kernels(name.c_str())) return;
    std::string known;
    for (const std::string& each : available_instructions()) known += (known.empty() ? "" : ", ") + each;
    throw BadNumber("instructions must be one of " + known + " on this machine; got " + name);
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "Upsampling of every channel by itself, its adjoint and the gradient in its taps, over plain memory.";
    define<apply_upsample, 1>(module, "upsample", "x_ptr", "taps_ptr", "y_ptr", "Write y, made from x and taps.");
    define<apply_adjoint, 1>(module, "adjoint", "y_ptr", "taps_ptr", "x_ptr", "Write x, the adjoint applied to y.");
    define<apply_taps_gradient, 2>(module, "taps_gradient", "y_ptr", "x_ptr", "taps_ptr",
                                   "Write taps, the gradient in them of the product of y with the upsampled x.");
    module.def("instructions", [] { return std::string(chosen_kernels().instructions); },
               "The set of instructions in use.");
    module.def("available_instructions", &available_instructions, "The sets that this machine can run, the best first.");
    module.def("use_instructions", &use_instructions, nb::arg("name"), "Use a set of instructions, for tests.");
}
