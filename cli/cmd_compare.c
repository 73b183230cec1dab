/* SPDX-License-Identifier: MIT
 *
 * cmd_compare.c: `vramscope compare`: what changed from one run to another, in words first, then by category and by
 * component. Must never judge: `check` does; nor compare what was not run alike unless told to.
 */
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "human.h"
#include "option.h"
#include "outcome_pair.h"
#include "sheet.h"

#define MOST_COMPONENTS 10
#define MOST_IN_WORDS   3 /* categories in a sentence */

/* Columns of the view paired, as every section below reads it. */
static const char paired_sql[] =
    "SELECT pair, label, a_status, b_status, a_reason, b_reason, a_peak_bytes, b_peak_bytes, a_ms, b_ms, ms_is FROM paired"
    " ORDER BY pair";
enum { PAIR, LABEL, STATUS, REASON = 4, PEAK = 6, MS = 8, MS_IS = 10 };

static char *signed_bytes(int64_t bytes, char out[VS_HUMAN + 1])
{
    char text[VS_HUMAN];
    snprintf(out, VS_HUMAN + 1, "%s%s", bytes > 0 ? "+" : "", vs_human_bytes(bytes, text));
    return out;
}

static sqlite3_stmt *of_pair(struct vs_sheet *s, const char *sql, int64_t pair)
{
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    if (q) sqlite3_bind_int64(q, 1, pair);
    return q;
}

/* ": activation +1.1 GiB, gradient +0.1 GiB": of the categories, or of the breakdown where only that is known. */
static void say_what_changed(struct vs_sheet *s, int64_t pair)
{
    sqlite3_stmt *q =
        of_pair(s,
                "SELECT name, b_bytes - a_bytes FROM change WHERE pair = ?1 AND a_bytes <> b_bytes AND kind ="
                " (SELECT MIN(kind) FROM change WHERE pair = ?1 AND kind <> 'component')"
                " ORDER BY abs(b_bytes - a_bytes) DESC, name",
                pair);
    char bytes[VS_HUMAN + 1];
    int n = 0;
    while (vs_sheet_next(s, &q))
        if (n++ < MOST_IN_WORDS)
            vs_sheet_say(s, "%s%s %s", n == 1 ? ": " : ", ", (const char *)sqlite3_column_text(q, 0),
                         signed_bytes(sqlite3_column_int64(q, 1), bytes));
    if (n > MOST_IN_WORDS) vs_sheet_say(s, ", %d more", n - MOST_IN_WORDS);
}

static void say_peak(struct vs_sheet *s, sqlite3_stmt *row)
{
    int64_t a = sqlite3_column_int64(row, PEAK), b = sqlite3_column_int64(row, PEAK + 1), change = b - a;
    char bytes[VS_HUMAN];
    for (int side = 0; side < 2; side++)
        if (sqlite3_column_type(row, PEAK + side) == SQLITE_NULL) {
            vs_sheet_say(s, "the peak of %c is not known", 'A' + side);
            return;
        }
    if (!change) {
        vs_sheet_say(s, "B's peak is the same, %s", vs_human_bytes(b, bytes));
        return;
    }
    vs_sheet_say(s, "B's peak is %s", vs_human_bytes(change < 0 ? -change : change, bytes));
    if (a) vs_sheet_say(s, " (%.1f %%)", 100.0 * fabs((double)change) / (double)a);
    vs_sheet_say(s, " %s", change < 0 ? "lower" : "higher");
    say_what_changed(s, sqlite3_column_int64(row, PAIR));
}

static void say_time(struct vs_sheet *s, sqlite3_stmt *row)
{
    double a = sqlite3_column_double(row, MS), b = sqlite3_column_double(row, MS + 1),
           percent = a > 0 ? 100 * (b - a) / a : 0;
    if (sqlite3_column_type(row, MS) == SQLITE_NULL || sqlite3_column_type(row, MS + 1) == SQLITE_NULL || a <= 0)
        return;
    if (fabs(percent) < 0.05) vs_sheet_say(s, "; it takes the same time");
    else vs_sheet_say(s, "; it is %.1f %% %s", fabs(percent), percent < 0 ? "faster" : "slower");
}

static void say_pair(struct vs_sheet *s, sqlite3_stmt *row, int alone)
{
    if (!alone) vs_sheet_say(s, "%s: ", (const char *)sqlite3_column_text(row, LABEL));
    for (int side = 0; side < 2; side++) {
        const char *reason = (const char *)sqlite3_column_text(row, REASON + side);
        if (strcmp((const char *)sqlite3_column_text(row, STATUS + side), "ok"))
            vs_sheet_say(s, "%c failed%s%s; ", 'A' + side, reason ? ": " : "", reason ? reason : "");
    }
    say_peak(s, row);
    say_time(s, row);
    fputc('\n', s->out);
}

/* ---- tables ---- */

static char *ratio(double a, double b, char out[VS_HUMAN])
{
    if (a > 0) snprintf(out, VS_HUMAN, "%.3f", b / a);
    else snprintf(out, VS_HUMAN, "-");
    return out;
}

static void line(struct vs_sheet *s, const char *name, const char *a, const char *b, const char *change,
                 const char *quotient)
{
    char left[VS_CELL];
    vs_sheet_line(s, "  %s %11s %11s %12s %8s", vs_cell(name, 46, left), a, b, change, quotient);
}

static void bytes_line(struct vs_sheet *s, const char *name, int64_t a, int64_t b)
{
    char left[VS_HUMAN], right[VS_HUMAN], change[VS_HUMAN + 1], quotient[VS_HUMAN];
    line(s, name, vs_human_bytes(a, left), vs_human_bytes(b, right), signed_bytes(b - a, change),
         ratio((double)a, (double)b, quotient));
}

static void time_line(struct vs_sheet *s, sqlite3_stmt *row)
{
    double a = sqlite3_column_double(row, MS), b = sqlite3_column_double(row, MS + 1);
    char name[64], left[VS_HUMAN], right[VS_HUMAN], change[VS_HUMAN], signed_change[VS_HUMAN + 1], quotient[VS_HUMAN];
    if (sqlite3_column_type(row, MS) == SQLITE_NULL || sqlite3_column_type(row, MS + 1) == SQLITE_NULL) return;
    snprintf(name, sizeof name, "time of an iteration (%s)", (const char *)sqlite3_column_text(row, MS_IS));
    snprintf(signed_change, sizeof signed_change, "%s%s", b > a ? "+" : b < a ? "-" : "",
             vs_human_time((int64_t)(fabs(b - a) * 1e6), change));
    line(s, name, vs_human_time((int64_t)(a * 1e6), left), vs_human_time((int64_t)(b * 1e6), right), signed_change,
         ratio(a, b, quotient));
}

static void amounts(struct vs_sheet *s, int64_t pair, const char *kind, const char *title, int most)
{
    sqlite3_stmt *q = of_pair(s,
                              "SELECT name, a_bytes, b_bytes FROM change WHERE pair = ?1 AND kind = ?2 AND"
                              " (?2 <> 'component' OR a_bytes <> b_bytes) ORDER BY abs(b_bytes - a_bytes) DESC, name",
                              pair);
    int n = 0;
    if (q) sqlite3_bind_text(q, 2, kind, -1, SQLITE_STATIC);
    while (vs_sheet_next(s, &q)) {
        if (!n) line(s, title, "A", "B", "change", "ratio");
        if (n++ < most)
            bytes_line(s, (const char *)sqlite3_column_text(q, 0), sqlite3_column_int64(q, 1),
                       sqlite3_column_int64(q, 2));
    }
    if (n > most) vs_sheet_line(s, "  ... %d more changed less", n - most);
}

static void notes(struct vs_sheet *s, int64_t pair)
{
    sqlite3_stmt *q = of_pair(s, "SELECT key, a, b FROM difference WHERE pair = ?1 ORDER BY NOT must, key", pair);
    while (vs_sheet_next(s, &q)) {
        const char *a = (const char *)sqlite3_column_text(q, 1), *b = (const char *)sqlite3_column_text(q, 2);
        vs_sheet_say(s, "  note: %s is %s in A and %s in B", (const char *)sqlite3_column_text(q, 0),
                     a ? a : "not told", b ? b : "not told");
        fputc('\n', s->out);
    }
}

static int64_t changed(struct vs_sheet *s, int64_t pair, const char *sql)
{
    sqlite3_stmt *q = of_pair(s, sql, pair);
    int64_t n = 0;
    if (vs_sheet_next(s, &q)) n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

static void detail(struct vs_sheet *s, sqlite3_stmt *row, int alone)
{
    int64_t pair = sqlite3_column_int64(row, PAIR);
    int known = sqlite3_column_type(row, PEAK) != SQLITE_NULL && sqlite3_column_type(row, PEAK + 1) != SQLITE_NULL;
    int moved = changed(s, pair, "SELECT COUNT(*) FROM change WHERE pair = ?1 AND a_bytes <> b_bytes") > 0;
    say_pair(s, row, alone);
    notes(s, pair);
    if (!alone && !moved && known && sqlite3_column_int64(row, PEAK) == sqlite3_column_int64(row, PEAK + 1)) return;
    line(s, (const char *)sqlite3_column_text(row, LABEL), "A", "B", "change", "ratio");
    if (known) bytes_line(s, "peak", sqlite3_column_int64(row, PEAK), sqlite3_column_int64(row, PEAK + 1));
    time_line(s, row);
    if (moved && changed(s, pair, "SELECT COUNT(*) FROM change WHERE pair = ?1 AND kind = 'category'"))
        amounts(s, pair, "category", "BY CATEGORY, at the peak", INT16_MAX);
    else if (moved) amounts(s, pair, "part", "BY PART, as the results say", INT16_MAX);
    if (moved) amounts(s, pair, "component", "COMPONENTS THAT CHANGED MOST", MOST_COMPONENTS);
    if (!alone) fputc('\n', s->out);
}

/* Of several: how many went which way, and the one that went furthest. */
static void overall(struct vs_sheet *s, int64_t pairs)
{
    sqlite3_stmt *q =
        vs_sheet_query(s, "SELECT label, b_peak_bytes - a_peak_bytes, 100.0 * (b_peak_bytes - a_peak_bytes) /"
                          " a_peak_bytes AS percent FROM paired WHERE a_peak_bytes <> b_peak_bytes"
                          " AND a_peak_bytes > 0 ORDER BY abs(percent) DESC, pair LIMIT 1");
    char bytes[VS_HUMAN + 1];
    int64_t higher = vs_sheet_number(s, "SELECT COUNT(*) FROM paired WHERE b_peak_bytes > a_peak_bytes"),
            lower = vs_sheet_number(s, "SELECT COUNT(*) FROM paired WHERE b_peak_bytes < a_peak_bytes");
    if (higher || lower)
        vs_sheet_say(s, "B's peak is higher in %lld and lower in %lld of %lld experiments", (long long)higher,
                     (long long)lower, (long long)pairs);
    else vs_sheet_say(s, "B's peak is not known to differ in any of %lld experiments", (long long)pairs);
    if (vs_sheet_next(s, &q))
        vs_sheet_say(s, "; it changed most in %s, %s (%+.1f %%)", (const char *)sqlite3_column_text(q, 0),
                     signed_bytes(sqlite3_column_int64(q, 1), bytes), sqlite3_column_double(q, 2));
    sqlite3_finalize(q);
    fputs("\n\n", s->out);
}

static void lonely(struct vs_sheet *s)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT label, side, side IS NOT LAG(side) OVER (ORDER BY side, id) FROM lonely"
                                        " ORDER BY side, id");
    int n = 0;
    while (vs_sheet_next(s, &q)) {
        if (sqlite3_column_int(q, 2)) {
            if (n) fputc('\n', s->out);
            vs_sheet_say(s, "only in %s: ", (const char *)sqlite3_column_text(q, 1));
        }
        vs_sheet_say(s, "%s%s", sqlite3_column_int(q, 2) ? "" : "; ", (const char *)sqlite3_column_text(q, 0));
        n++;
    }
    if (n) fputc('\n', s->out);
}

static int compare(sqlite3 *db, struct vs_error *e)
{
    struct vs_sheet s = {.out = stdout, .db = db};
    int64_t pairs = vs_sheet_number(&s, "SELECT COUNT(*) FROM pair");
    sqlite3_stmt *row = vs_sheet_query(&s, paired_sql);
    if (pairs > 1) overall(&s, pairs);
    while (vs_sheet_next(&s, &row)) detail(&s, row, pairs == 1);
    lonely(&s);
    if (s.failed) return vs_fail(e, EIO, "%s", s.error.text);
    return fflush(stdout) || ferror(stdout) ? vs_fail(e, EIO, "cannot write the comparison: %s", strerror(errno)) : 0;
}

/* Nothing in common: say what each has. */
static int check_pairs(sqlite3 *db, struct vs_error *e)
{
    struct vs_sheet s = {.db = db};
    sqlite3_stmt *q;
    int err = 0;
    if (vs_sheet_number(&s, "SELECT COUNT(*) FROM pair")) return 0;
    q = vs_sheet_query(&s, "SELECT (SELECT group_concat(label, '; ') FROM lonely WHERE side = 'A'),"
                           " (SELECT group_concat(label, '; ') FROM lonely WHERE side = 'B')");
    if (vs_sheet_next(&s, &q))
        err = vs_fail(e, ENOENT, "A and B have no experiment in common: A has %.300s, B has %.300s",
                      (const char *)sqlite3_column_text(q, 0), (const char *)sqlite3_column_text(q, 1));
    sqlite3_finalize(q);
    return s.failed ? vs_fail(e, EIO, "%s", s.error.text) : err;
}

static int compare_main(const struct vs_command *self, int argc, char **argv)
{
    int any_config = 0;
    const struct vs_option options[] = {{.name = "any-config",
                                         .help = "compare also what was run with another seed or configuration",
                                         .on = &any_config},
                                        {0}};
    struct vs_operands operands = {0};
    struct vs_error e;
    sqlite3 *db = NULL;
    int err, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (operands.count != 2) return vs_usage(self, "compare needs two sides: databases, results or folders of runs");
    err = vs_outcomes_pair(operands.text[0], operands.text[1], &db, &e);
    if (!err) err = check_pairs(db, &e);
    if (!err && !any_config) err = vs_outcomes_comparable(db, (const char *const *)operands.text, &e);
    if (!err) err = compare(db, &e);
    sqlite3_close(db);
    return err ? vs_complain("%s", e.text) : VS_OK;
}

const struct vs_command vs_command_compare = {
    .name = "compare",
    .operands = "A B [--any-config]",
    .summary = "Say what changed from one run to another: peak, time, categories, components",
    .about = "A and B are each a database, the result of one experiment (JSON) or a folder of a run of the suite.\n"
             "An experiment is compared with the one of the same name and sequence length; where each side has\n"
             "exactly one, these two are compared. Of a recording without experiments every rank is one.\n"
             "Pairs of another seed or configuration are refused, naming both values; --any-config compares them\n"
             "and notes the differences.\n"
             "Exit status: 0 compared, whatever came out (vramscope check judges); 1 refused or failed; 2 usage.",
    .example = "vramscope compare runs/run_20250101_120000 runs/run_20250102_120000",
    .main = compare_main};
