/* SPDX-License-Identifier: MIT
 *
 * category.h: how categories of memory look everywhere: their order in a stack and their colours.
 *
 * Ownership: constant. Threading: none. Errors: none; a word that is not in the list has no place.
 */
#ifndef VS_VIZ_CATEGORY_H
#define VS_VIZ_CATEGORY_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, in a narrow column, colour): from the bottom of a stack, long-lived first. Okabe-Ito and Tol, so that neighbours
 * differ in lightness as well as in hue; what is gathered for a moment is a paler shade of what it is gathered from. */
#define VS_CATEGORY_LOOKS(X)                                                                                           \
    X("parameter", "parameter", 0x4477aa)                                                                              \
    X("optimizer_state", "optimizer", 0x228833)                                                                        \
    X("gradient", "gradient", 0xee6677)                                                                                \
    X("unsharded_parameter", "unsh.param", 0x9fbfe0)                                                                   \
    X("unsharded_gradient", "unsh.grad", 0xf9bcc4)                                                                     \
    X("comm_buffer", "comm", 0xaa3377)                                                                                 \
    X("workspace", "workspace", 0x66ccee)                                                                              \
    X("input", "input", 0x44aa99)                                                                                      \
    X("activation", "activation", 0xccbb44)                                                                            \
    X("temporary", "temporary", 0xee8866)                                                                              \
    X("unknown", "unknown", 0xa9b0b8)

enum { VS_CATEGORY_COUNT = 11 };

struct vs_category_look {
    const char *name, *brief;
    unsigned rgb;
};
extern const struct vs_category_look vs_category_looks[VS_CATEGORY_COUNT];

int vs_category_place(const char *name); /* in that order; -1: not one of them, or NULL */

#ifdef __cplusplus
}
#endif

#endif
