/* SPDX-License-Identifier: MIT
 *
 * text.c: UTF-8 repair and demangling. It must never trust a length or a byte it was given.
 */
#include "text.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* Length of the valid sequence at p, 0 if there is none. No overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t sequence(const unsigned char *p, size_t n)
{
    static const unsigned lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] < 0x80                   ? 1
                    : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                    : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                    : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                                                  : 0;
    if (!length || length > n || !p[0]) return 0;
    if (length == 1) return 1;
    unsigned value = p[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (p[i] & 0x3f);
    }
    if (value < lowest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return 0;
    return length;
}

char *vs_text_clean(const char *bytes, size_t n, size_t *length)
{
    char *out = malloc(n * 3 + 1), *to = out;
    if (!out) return NULL;
    for (size_t i = 0; i < n;) {
        size_t take = sequence((const unsigned char *)bytes + i, n - i);
        if (take) {
            memcpy(to, bytes + i, take);
            to += take;
            i += take;
        } else {
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
            i++;
        }
    }
    *to = 0;
    *length = (size_t)(to - out);
    return out;
}

/* The C++ runtime's own demangler, when there is one: C has none, and a second-hand one would lag behind compilers. */
char *vs_text_demangle(const char *name)
{
    static char *(*demangle)(const char *, char *, size_t *, int *);
    static int looked;
    int status = 0;
    if (strncmp(name, "_Z", 2)) return NULL;
    if (!looked) {
        void *lib = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
        if (lib) *(void **)&demangle = dlsym(lib, "__cxa_demangle");
        looked = 1;
    }
    return demangle ? demangle(name, NULL, NULL, &status) : NULL;
}
