/* SPDX-License-Identifier: MIT
 *
 * label.h: turns a text from a traced program into one that can be shown on one line, and measures it.
 *
 * What is shown is what the program said: `, @, _, {, quotes and Chinese stay. Only what cannot be shown is replaced.
 * Ownership: callers own all buffers. Errors: none; a text that does not fit is cut and ends in an ellipsis.
 */
#ifndef VS_VIZ_LABEL_H
#define VS_VIZ_LABEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_LABEL_POINTS = 60, VS_LABEL_SIZE = 4 * VS_LABEL_POINTS + 4 };

/* At most max_points code points, the last one an ellipsis when the text is longer. NULL and "" give "(no name)". */
void vs_label_clean(char *out, size_t size, const char *text, int max_points);
/* Decodes one code point, U+FFFD for a malformed byte. Returns the bytes it takes, 0 at the end. */
int vs_label_next(const char *text, uint32_t *point);
/* Estimated width in pixels of a clean text in a sans-serif font of that height. */
double vs_label_width(const char *text, double font_px);
/* Cuts a clean text to the width; an empty text when fewer than four letters would be left. */
void vs_label_fit(char *out, size_t size, const char *text, double font_px, double width_px);
/* "41.87 GiB" */
void vs_label_bytes(char *out, size_t size, double bytes);
/* "+6.9 %"; "new" when there was nothing */
void vs_label_change(char *out, size_t size, double from, double to);
/* "1.234 s" */
void vs_label_time(char *out, size_t size, double ns);

#ifdef __cplusplus
}
#endif

#endif
