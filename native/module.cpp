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
#include "minimal_apply.h"
#include "shuffle_apply.h"
#include "solve_apply.h"

namespace nb = nanobind;
using namespace upstroke;

namespace {

using Address = std::uintptr_t;
using Sizes = std::vector<std::int64_t>;

void* memory(const char* name, Address address, std::int64_t bytes) {
    if (address == 0 || address % static_cast<Address>(bytes) != 0) {
        throw BadNumber(std::string(name) + " must be the address of numbers of " + std::to_string(bytes) + " bytes each; got " +
                        std::to_string(address));
    }
    return reinterpret_cast<void*>(address);
}

void upsample(Address x, Address kernel, Address bias, Address y, const Problem& problem) {
    const std::int64_t map = bytes_of_number(problem), tap = bytes_of_tap(problem);
    const void* const none = nullptr;
    if (!apply_upsample(chosen_kernels(), problem, memory("x_ptr", x, map), memory("kernel_ptr", kernel, tap),
                        bias == 0 ? none : memory("bias_ptr", bias, tap), memory("y_ptr", y, map))) {
        throw std::bad_alloc();
    }
}

void adjoint(Address y, Address kernel, Address x, const Problem& problem) {
    const std::int64_t map = bytes_of_number(problem), tap = bytes_of_tap(problem);
    if (!apply_adjoint(chosen_kernels(), problem, memory("y_ptr", y, map), memory("kernel_ptr", kernel, tap),
                       memory("x_ptr", x, map))) {
        throw std::bad_alloc();
    }
}

void kernel_gradient(Address y, Address x, Address kernel, const Problem& problem) {
    const std::int64_t map = bytes_of_number(problem), tap = bytes_of_tap(problem);
    if (!apply_kernel_gradient(chosen_kernels(), problem, memory("y_ptr", y, map), memory("x_ptr", x, map),
                               memory("kernel_ptr", kernel, tap))) {
        throw std::bad_alloc();
    }
}

template <void (*apply)(const Kernels&, const Shuffle&, void* phases, void* samples)>
void shuffle(Address phases, Address samples, std::int64_t channels, const Sizes& cells, const Sizes& scale,
             std::int64_t phase_stride, const Sizes& sample_strides, std::int64_t bytes, std::int64_t threads) {
    const Shuffle checked = checked_shuffle({channels, cells, scale, phase_stride, sample_strides, bytes, threads});
    apply(chosen_kernels(), checked, memory("phases_ptr", phases, bytes),
          memory("samples_ptr", samples, bytes));
}

template <void (*apply)(const Kernels&, const Shuffle&, void* phases, void* samples)>
void define_shuffle(nb::module_& module, const char* name, const char* says) {
    module.def(name, &shuffle<apply>, nb::arg("phases_ptr"), nb::arg("samples_ptr"), nb::arg("channels"), nb::arg("cells"),
               nb::arg("scale"), nb::arg("phase_stride"), nb::arg("sample_strides"), nb::arg("bytes"), nb::arg("threads"),
               nb::call_guard<nb::gil_scoped_release>(), says);
}

float* floats(const char* name, Address address) { return static_cast<float*>(memory(name, address, 4)); }

void prepare_minimal_weight(Address weight, Address prepared, const Minimal& problem) {
    prepare_minimal(problem, floats("weight_ptr", weight), floats("prepared_ptr", prepared));
}

void minimal(Address x, Address prepared, Address bias, Address y, const Minimal& problem) {
    if (!apply_minimal(chosen_kernels(), problem, floats("x_ptr", x), floats("prepared_ptr", prepared),
                       bias == 0 ? nullptr : floats("bias_ptr", bias), floats("y_ptr", y))) {
        throw std::bad_alloc();
    }
}

void solve(Address x, Address factors, Address y, std::int64_t outer, std::int64_t size, std::int64_t inner, std::int64_t below,
           std::int64_t above, std::int64_t border, std::int64_t number, std::int64_t threads) {
    const Solve checked = checked_solve({outer, size, inner, below, above, border, number, threads});
    const std::int64_t bytes = checked.number == Number::float64 ? 8 : 4;
    if (!apply_solve(chosen_kernels(), checked, memory("x_ptr", x, bytes),
                     static_cast<const double*>(memory("factors_ptr", factors, 8)), memory("y_ptr", y, bytes))) {
        throw std::bad_alloc();
    }
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
    // Problems are kept for the next call, until the process ends.
    nb::set_leak_warnings(false);
    module.doc() = "Upsampling of every channel by itself, its adjoint and the gradient in its taps, over plain memory.";
    // Checked once, and then good for as many calls as are alike.
    nb::class_<Problem>(module, "Problem", "The numbers of one call.")
        .def("__init__", [](Problem* self, std::int64_t batch, std::int64_t channels, std::int64_t kernel_channels,
                            const Sizes& cells, const Sizes& samples, const Sizes& scale, const Sizes& kernel, const Sizes& crop,
                            const Sizes& border, bool channels_last, std::int64_t number, std::int64_t threads) {
            new (self) Problem(checked({batch, channels, kernel_channels, cells, samples, scale, kernel, crop, border,
                                        channels_last, number, threads}));
        }, nb::arg("batch"), nb::arg("channels"), nb::arg("kernel_channels"), nb::arg("cells"), nb::arg("samples"),
           nb::arg("scale"), nb::arg("kernel"), nb::arg("crop"), nb::arg("border"), nb::arg("channels_last"), nb::arg("number"),
           nb::arg("threads"))
        .def_ro("kernel_channels", &Problem::tap_channels);
    module.def("upsample", &upsample, nb::arg("x_ptr"), nb::arg("kernel_ptr"), nb::arg("bias_ptr"), nb::arg("y_ptr"),
               nb::arg("problem"), nb::call_guard<nb::gil_scoped_release>(), "Write y, made from x, kernel and bias (or 0).");
    module.def("adjoint", &adjoint, nb::arg("y_ptr"), nb::arg("kernel_ptr"), nb::arg("x_ptr"), nb::arg("problem"),
               nb::call_guard<nb::gil_scoped_release>(), "Write x, the adjoint applied to y.");
    module.def("kernel_gradient", &kernel_gradient, nb::arg("y_ptr"), nb::arg("x_ptr"), nb::arg("kernel_ptr"), nb::arg("problem"),
               nb::call_guard<nb::gil_scoped_release>(),
               "Write kernel, the gradient in it of the product of y with the upsampled x.");
    define_shuffle<apply_interleave>(module, "interleave", "Write the samples, made of the phases.");
    define_shuffle<apply_deinterleave>(module, "deinterleave", "Write the phases, made of the samples.");
    nb::class_<Minimal>(module, "Minimal", "The numbers of one transposed convolution by minimal filtering.")
        .def("__init__", [](Minimal* self, std::int64_t batch, std::int64_t channels, std::int64_t out, const Sizes& cells,
                            const Sizes& samples, const Sizes& scale, const Sizes& kernel, const Sizes& padding,
                            bool channels_last, std::int64_t threads) {
            new (self) Minimal(checked_minimal({batch, channels, out, cells, samples, scale, kernel, padding, channels_last, threads}));
        }, nb::arg("batch"), nb::arg("channels"), nb::arg("out"), nb::arg("cells"), nb::arg("samples"), nb::arg("scale"),
           nb::arg("kernel"), nb::arg("padding"), nb::arg("channels_last"), nb::arg("threads"))
        .def_prop_ro("prepared_size", &prepared_size);
    module.def("prepare_minimal", &prepare_minimal_weight, nb::arg("weight_ptr"), nb::arg("prepared_ptr"), nb::arg("problem"),
               nb::call_guard<nb::gil_scoped_release>(), "Write the sums of taps that the products take.");
    module.def("minimal", &minimal, nb::arg("x_ptr"), nb::arg("prepared_ptr"), nb::arg("bias_ptr"), nb::arg("y_ptr"),
               nb::arg("problem"), nb::call_guard<nb::gil_scoped_release>(), "Write y, made from x, a prepared weight and bias (or 0).");
    module.def("solve", &solve, nb::arg("x_ptr"), nb::arg("factors_ptr"), nb::arg("y_ptr"), nb::arg("outer"), nb::arg("size"),
               nb::arg("inner"), nb::arg("below"), nb::arg("above"), nb::arg("border"), nb::arg("number"), nb::arg("threads"),
               nb::call_guard<nb::gil_scoped_release>(), "Write y, which the matrix in factors makes x of, along an axis.");
    module.def("instructions", [] { return std::string(chosen_kernels().instructions); },
               "The set of instructions in use.");
    module.def("available_instructions", &available_instructions, "The sets that this machine can run, the best first.");
    module.def("use_instructions", &use_instructions, nb::arg("name"), "Use a set of instructions, for tests.");
}
