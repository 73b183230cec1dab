/* SPDX-License-Identifier: MIT
 *
 * fake/cublas_later.c: the stand-in for libcublas under the file name of a version that does not exist yet.
 */
#define RESULT 8
#include "cublas.c"
