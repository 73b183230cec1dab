/* SPDX-License-Identifier: MIT
 *
 * bench_norms.h: the results of one `bench norms`, read back from its database, and the tables made of them.
 *
 * Ownership: vs_norm_rows_free frees (NULL-safe). Threading: none. Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_BENCH_NORMS_H
#define VS_CLI_BENCH_NORMS_H

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>

#include "../db/error.h"

#define VS_NORM_NAME 96 /* longer names are cut in the tables */

struct vs_norm_row { /* unknown numbers are NaN, unknown sizes 0, unknown texts "" */
    char algo[VS_NORM_NAME], device[VS_NORM_NAME], dtype[VS_NORM_NAME], grouping[VS_NORM_NAME], choice[VS_NORM_NAME],
        preset[VS_NORM_NAME], reason[1200], gpu[100];
    int skipped, unchecked, beyond; /* beyond: the bound, or not finite though nobody asked for that */
    int64_t layers, B, T, d, p, recomputed;
    double median_ms, call_ms, floor_ms, tflops, floor_fraction, rel_err, bound, kappa, temp_bytes;
};

struct vs_norm_rows {
    struct vs_norm_row *item;
    int count;
};

/* Those from this id on, in the order of measurement. */
int vs_norm_rows_load(sqlite3 *db, int64_t first_id, struct vs_norm_rows *out, struct vs_error *e);
void vs_norm_rows_free(struct vs_norm_rows *rows);

/* The same rows for programs: "csv" has the benchmark's columns, "json" all of them. */
int vs_norm_rows_export(sqlite3 *db, int64_t first_id, const char *format, FILE *out, struct vs_error *e);

int vs_norm_tables(const struct vs_norm_rows *rows, FILE *out); /* 0 or -ENOMEM */
/* Its parts: one shape and element type over T (0 or -ENOMEM), the calls with many layers, what there is to say of single
 * results. */
int vs_norm_table_layers(const struct vs_norm_row *const *row, int count, FILE *out);
void vs_norm_table_grouped(const struct vs_norm_row *const *row, int count, FILE *out);
void vs_norm_table_notes(const struct vs_norm_row *const *row, int count, FILE *out);

/* One line as sheet.h's: safe for a terminal, and no wider than it. */
void vs_norm_line(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *vs_norm_ms(double ms, char out[32]);                               /* "-": unknown, as for all */
char *vs_norm_times(double numerator, double denominator, char out[32]); /* 3.7x */

#endif
