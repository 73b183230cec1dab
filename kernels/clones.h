/* SPDX-License-Identifier: MIT
 *
 * clones.h: VS_CLONES before a function compiles it twice, for machines with FMA (and so AVX) and for all others; the loader
 * picks one. For inner loops alone: what they call is cloned only where it is inlined. Sanitizers cannot run the resolver that
 * picks. A feature and not "arch=...", which would pick for that one processor model and leave all later ones the slow copy.
 */
#ifndef VS_KERNELS_CLONES_H
#define VS_KERNELS_CLONES_H

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define VS_CLONES __attribute__((target_clones("fma", "default")))
#else
#define VS_CLONES
#endif

#endif
