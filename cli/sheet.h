/* SPDX-License-Identifier: MIT
 *
 * sheet.h: what the sections of the report are written on: queries over the processes asked for, and lines that are
 * safe and narrow enough for a terminal.
 *
 * Ownership: statements are finalized by vs_sheet_next when they end, else by the caller. Threading: none.
 * Errors: the first one sticks in `error`; later queries give no rows.
 */
#ifndef VS_CLI_SHEET_H
#define VS_CLI_SHEET_H

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>

#include "../db/error.h"

#define VS_SHEET_COLUMNS 100
#define VS_CELL 512 /* room for a cell */

struct vs_sheet {
    FILE *out;
    sqlite3 *db;
    int has_rank, brief, all; /* all: every row of a table that would be shortened to one screen */
    int64_t rank;
    int failed;
    struct vs_error error;
};

/* In SQL: the processes asked for. vs_sheet_query binds ?1. */
#define VS_SHOWN "(SELECT id FROM process WHERE ?1 IS NULL OR rank = ?1)"

sqlite3_stmt *vs_sheet_query(struct vs_sheet *s, const char *sql); /* NULL: failed; vs_sheet_next takes it */
int vs_sheet_next(struct vs_sheet *s, sqlite3_stmt **q);           /* 1: a row; 0: the end, *q is NULL */
int64_t vs_sheet_number(struct vs_sheet *s, const char *sql);      /* of a query of one number; NULL is 0 */

/* One line: made visible, cut at the sheet's width, ended. */
void vs_sheet_line(struct vs_sheet *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A part of a sentence: made visible, neither cut nor ended. */
void vs_sheet_say(struct vs_sheet *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text in exactly `width` columns: cut or padded; a negative width pads on the left. Returns out. */
char *vs_cell(const char *text, int width, char out[VS_CELL]);

/* Columns of the current row. NULL comes out as `unknown`. */
char *vs_column_text(sqlite3_stmt *q, int column, const char *unknown, int width, char out[VS_CELL]);
char *vs_column_bytes(sqlite3_stmt *q, int column, int width, char out[VS_CELL]);
char *vs_column_time(sqlite3_stmt *q, int column, int width, char out[VS_CELL]);
char *vs_column_count(sqlite3_stmt *q, int column, int width, char out[VS_CELL]);
char *vs_column_moment(sqlite3_stmt *q, int column, int width, char out[VS_CELL]); /* +3.20 s after the start */
/* "rank 0 GPU 1", "pid 4711 host", "GPU 0": from the columns rank, pid, device (< 0: host), and how many processes. */
char *vs_column_place(sqlite3_stmt *q, int rank_column, int64_t processes, int width, char out[VS_CELL]);

/* The sections. */
void vs_report_head(struct vs_sheet *s, const char *db_path);
void vs_report_mortem(struct vs_sheet *s);
void vs_report_memory(struct vs_sheet *s);
void vs_report_iterations(struct vs_sheet *s);
void vs_report_peak(struct vs_sheet *s);
void vs_report_account(struct vs_sheet *s);
void vs_report_live(struct vs_sheet *s);
void vs_report_kernels(struct vs_sheet *s);
void vs_report_ranges(struct vs_sheet *s);
void vs_report_collectives(struct vs_sheet *s);
void vs_report_failures(struct vs_sheet *s);
void vs_report_losses(struct vs_sheet *s);
void vs_report_cost(struct vs_sheet *s);

/* The tables of `report --by NAME`: name and what it shows. Each is void vs_report_by_NAME(struct vs_sheet *). */
#define VS_REPORT_TABLES(X)                                                         \
    X(iteration, "peak by category and growth of every iteration, and a leak verdict") \
    X(rank, "ranks and devices side by side, and how even they are")                \
    X(category, "what live memory was at the peak of every device")                    \
    X(line, "which lines of Python live memory at the peak came from (run --python-lines)") \
    X(collective, "collectives of all ranks by operation and size: start skew, time, bandwidth; those not complete first") \
    X(overlap, "how much of communication each rank and step hid behind compute (run --trace kernels)") \
    X(straggler, "which rank the others wait for in collectives, and how long")
#define X(name, help) void vs_report_by_##name(struct vs_sheet *s);
VS_REPORT_TABLES(X)
#undef X

#endif
