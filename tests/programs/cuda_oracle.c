/* SPDX-License-Identifier: MIT
 *
 * cuda_oracle.c: the oracle with the shared runtime. It must never be told that it is recorded.
 * link: -l:libcudart.so.13 */
#include "cuda_oracle_runtime.h"
