/* SPDX-License-Identifier: MIT
 *
 * fonts.h: which characters the installed fonts can show.
 *
 * gnuplot's pngcairo draws the stand-in for a character without a font larger than the page (seen with 5.4.4 and Pango
 * 1.50: one such label blots out the chart), so in a PNG no such character may be.
 *
 * Ownership: vs_fonts_free (NULL-safe). Threading: single thread; the first question runs fc-list and waits for it.
 * Errors: none; without fc-list only Latin-1 counts as covered.
 */
#ifndef VS_VIZ_FONTS_H
#define VS_VIZ_FONTS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vs_fonts;

struct vs_fonts *vs_fonts_new(void); /* NULL when out of memory: then nothing beyond Latin-1 is covered */
int vs_fonts_cover(struct vs_fonts *f, uint32_t point);
void vs_fonts_free(struct vs_fonts *f);

#ifdef __cplusplus
}
#endif

#endif
