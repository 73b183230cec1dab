/* SPDX-License-Identifier: MIT
 *
 * cuda_oracle_static.c: the oracle with the runtime inside the program. It must never be told that it is recorded.
 * link: -ldl */
#include "tests/fake/cudart.c" /* as libcudart_static.a would bring it in */

#include "cuda_oracle_runtime.h"
