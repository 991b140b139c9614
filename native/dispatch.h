// Which of the compiled sets of instructions runs: the widest that this machine has, or the one a test asks for.
#pragma once

#include <vector>

#include "kernels.h"

namespace upstroke {

// What was compiled and this machine can run, the best first; baseline is always there.
std::vector<const Kernels*> available_kernels();

const Kernels& chosen_kernels();

// False where this machine or this build lacks the set of that name.
bool choose_kernels(const char* instructions);

}  // namespace upstroke
