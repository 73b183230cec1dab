/* SPDX-License-Identifier: MIT
 *
 * norm_resident.h: how much the memory of this process grew, at most, while something ran, as the kernel counts it (Linux
 * 4.5 and later). Threading: one measurement at a time in a process.
 */
#ifndef VS_WORKLOADS_NORM_RESIDENT_H
#define VS_WORKLOADS_NORM_RESIDENT_H

#ifdef __cplusplus
extern "C" {
#endif

struct vs_resident {
    long long all, shared; /* bytes; -1: this system cannot tell */
};

/* What is resident now, and the kernel's peak set to it. */
struct vs_resident vs_resident_begin(void);
/* The peak since then less what was there, not below 0, without what grew in files and shared memory: code that is read, and the
 * log of a recorder. -1: unknown. */
long long vs_resident_growth(const struct vs_resident *before);

#ifdef __cplusplus
}
#endif
#endif
