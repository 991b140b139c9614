// The kernels for one set of instructions: this file is compiled once for each, with UPSTROKE_INSTRUCTIONS its name.
#include "adjoint.h"
#include "kernels.h"
#include "minimal.h"
#include "shuffle.h"
#include "solve.h"
#include "taps_gradient.h"
#include "upsample.h"

#define UPSTROKE_JOIN_(a, b) a##b
#define UPSTROKE_JOIN(a, b) UPSTROKE_JOIN_(a, b)
#define UPSTROKE_TEXT_(a) #a
#define UPSTROKE_TEXT(a) UPSTROKE_TEXT_(a)

namespace upstroke {

const Kernels& UPSTROKE_JOIN(kernels_, UPSTROKE_INSTRUCTIONS)() {
    static const Kernels kernels = {
        UPSTROKE_TEXT(UPSTROKE_INSTRUCTIONS),
        upsample_units,
        upsample,
        adjoint_units,
        adjoint,
        taps_gradient_units,
        taps_gradient,
        interleave_phases,
        deinterleave_samples,
        minimal_unit,
        solve_units,
        solve_along,
    };
    return kernels;
}

}  // namespace upstroke
