/* SPDX-License-Identifier: MIT
 *
 * category.h: what memory is for. A program's own word (the name of an NVTX region, a label of a library) wins; the rest
 * is inferred from when, where and by whom a piece was allocated and freed. What cannot be decided is `unknown`.
 *
 * Threading: none. Errors: none.
 */
#ifndef VS_DB_CATEGORY_H
#define VS_DB_CATEGORY_H

#include <stdbool.h>
#include <stdint.h>

/* X(id, name): the vocabulary of FSDPMemTracker where it has a word. The first part of a region's name may give one. */
#define VS_CATEGORIES(X)                                                                                               \
    X(PARAMETER, "parameter")                                                                                          \
    X(GRADIENT, "gradient")                                                                                            \
    X(OPTIMIZER_STATE, "optimizer_state")                                                                              \
    X(ACTIVATION, "activation")                                                                                        \
    X(COMM_BUFFER, "comm_buffer")                                                                                      \
    X(WORKSPACE, "workspace")                                                                                          \
    X(INPUT, "input")                                                                                                  \
    X(TEMPORARY, "temporary")                                                                                          \
    X(UNKNOWN, "unknown")                                                                                              \
    X(UNSHARDED_PARAMETER, "unsharded_parameter")                                                                      \
    X(UNSHARDED_GRADIENT, "unsharded_gradient")
enum vs_category {
    VS_CAT_NONE,
#define X(id, name) VS_CAT_##id,
    VS_CATEGORIES(X)
#undef X
        VS_NCATEGORIES
};
extern const char *const vs_category_names[VS_NCATEGORIES]; /* [0] is NULL */

#define VS_SMALLEST 512u /* the allocator's granularity: counters, norms and other scalars are one of these */

struct vs_process;
struct vs_piece;

/* What a piece is, by what is known now. */
enum vs_category vs_category_infer(const struct vs_process *p, const struct vs_piece *x);

/* Does it have the size of a workspace that PyTorch gives to cuBLAS, and is it none of the model? */
bool vs_category_workspace(const struct vs_process *p, const struct vs_piece *x);

#endif
