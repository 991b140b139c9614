// A kernel as it is drawn into the taps of every phase, and sums over these taps back.
#pragma once

#include "problem.h"

namespace upstroke {

// taps (phases, tap_channels, *taps) from kernel (tap_channels, *length), with zeros where the kernel has no number.
void taps_of_kernel(const Problem& problem, const float* kernel, float* taps);
void taps_of_kernel(const Problem& problem, const double* kernel, double* taps);

// The adjoint: every number of the kernel is one tap. Sums are rounded once, here.
void kernel_of_taps(const Problem& problem, const double* taps, float* kernel);
void kernel_of_taps(const Problem& problem, const double* taps, double* kernel);

}  // namespace upstroke
