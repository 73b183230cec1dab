/* SPDX-License-Identifier: MIT
 *
 * category.c: owns the one table of category colours. Never gives two categories one colour.
 */
#include "category.h"

#include <string.h>

const struct vs_category_look vs_category_looks[VS_CATEGORY_COUNT] = {
#define X(name, brief, rgb) {name, brief, rgb},
    VS_CATEGORY_LOOKS(X)
#undef X
};

int vs_category_place(const char *name)
{
    int i = VS_CATEGORY_COUNT - 1;
    while (i >= 0 && (!name || strcmp(vs_category_looks[i].name, name))) i--;
    return i;
}
