/* SPDX-License-Identifier: MIT
 *
 * cmd_check.c: `vramscope check`: does the current run need more memory or time than the baseline? For scripts: its exit
 * status is the answer. Must never answer "no regression" for what it could not compare.
 */
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../exporters/exporter.h"
#include "command.h"
#include "human.h"
#include "option.h"
#include "outcome_pair.h"
#include "sheet.h"

/* Every outcome of the baseline has a row, and those that are new. A time or a peak that the baseline has and the current
 * one has not is a regression: nobody could say that there is none. ?1, ?2: thresholds of memory and time. */
static const char verdict_sql[] =
    "CREATE TABLE verdict AS WITH judged AS (SELECT *,"
    " COALESCE(b_peak_bytes > a_peak_bytes * ?1, a_peak_bytes IS NOT NULL) AS more_memory,"
    " COALESCE(b_ms > a_ms * ?2, a_ms IS NOT NULL) AS more_time FROM paired)"
    " SELECT label, a_name AS experiment, b_name AS current, seq_len,"
    "  CASE WHEN a_status <> 'ok' THEN 'skipped' WHEN b_status <> 'ok' THEN 'failed'"
    "  WHEN more_memory OR more_time THEN 'worse' ELSE 'ok' END AS verdict,"
    " CASE WHEN a_status <> 'ok' THEN 'the baseline failed' WHEN b_status <> 'ok' THEN"
    "  COALESCE(b_reason, 'no reason is told') END AS reason, a_peak_bytes AS baseline_peak_bytes, b_peak_bytes AS current_peak_bytes,"
    " b_peak_bytes * 1.0 / NULLIF(a_peak_bytes, 0) AS peak_ratio, more_memory AS peak_worse,"
    " a_ms AS baseline_time_ms, b_ms AS current_time_ms, b_ms / NULLIF(a_ms, 0) AS time_ratio, more_time AS time_worse,"
    " c.name AS grew, c.a_bytes AS grew_from_bytes, c.b_bytes AS grew_to_bytes"
    " FROM judged j LEFT JOIN (SELECT *, ROW_NUMBER() OVER"
    "  (PARTITION BY pair ORDER BY kind, b_bytes - a_bytes DESC, name) AS n FROM change WHERE kind <> 'component') c ON c.pair = j.pair AND c.n = 1 AND c.b_bytes > c.a_bytes"
    " UNION ALL SELECT label, CASE side WHEN 'A' THEN name END, CASE side WHEN 'B' THEN name END, seq_len,"
    " CASE WHEN side = 'B' THEN 'new' WHEN status <> 'ok' THEN 'skipped' ELSE 'missing' END,"
    " CASE WHEN side = 'B' THEN 'it is not in the baseline' WHEN status <> 'ok' THEN 'the baseline failed'"
    "  ELSE 'it is in the baseline and not in the current run' END,"
    " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM lonely";

struct thresholds {
    double peak, time;
};

static int judge(sqlite3 *db, const struct thresholds *most, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, verdict_sql, -1, &q, NULL);
    if (!rc) {
        sqlite3_bind_double(q, 1, most->peak);
        sqlite3_bind_double(q, 2, most->time);
        rc = sqlite3_step(q);
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? 0 : vs_fail(e, EIO, "cannot judge: %s", sqlite3_errmsg(db));
}

enum {
    LABEL,
    VERDICT = 4,
    WHY,
    PEAK_A,
    PEAK_B,
    PEAK_RATIO,
    PEAK_WORSE,
    MS_A,
    MS_B,
    MS_RATIO,
    MS_WORSE,
    GREW,
    GREW_A,
    GREW_B
};

/* "peak 42.4 GiB -> 55.7 GiB (x1.313, x1.05 is allowed)" */
static void say_amount(struct vs_sheet *s, sqlite3_stmt *q, const char *what, int column, double most, double scale,
                       char *write(int64_t, char *))
{
    char a[VS_HUMAN], b[VS_HUMAN];
    if (sqlite3_column_type(q, column) == SQLITE_NULL) {
        vs_sheet_say(s, "%s not known in the baseline", what);
        return;
    }
    write((int64_t)(sqlite3_column_double(q, column) * scale), a);
    if (sqlite3_column_type(q, column + 1) == SQLITE_NULL) {
        vs_sheet_say(s, "%s %s -> not known", what, a);
        return;
    }
    vs_sheet_say(s, "%s %s -> %s", what, a, write((int64_t)(sqlite3_column_double(q, column + 1) * scale), b));
    if (sqlite3_column_type(q, column + 2) == SQLITE_NULL) return;
    vs_sheet_say(s, " (x%.3f", sqlite3_column_double(q, column + 2));
    if (sqlite3_column_int(q, column + 3)) vs_sheet_say(s, ", x%g is allowed", most);
    vs_sheet_say(s, ")");
}

static void say_verdict(struct vs_sheet *s, sqlite3_stmt *q, const struct thresholds *most)
{
    char a[VS_HUMAN], b[VS_HUMAN], grown[VS_HUMAN];
    const char *why = (const char *)sqlite3_column_text(q, WHY), *grew = (const char *)sqlite3_column_text(q, GREW);
    int64_t from = sqlite3_column_int64(q, GREW_A), to = sqlite3_column_int64(q, GREW_B);
    vs_sheet_say(s, "%-8s %s: ", (const char *)sqlite3_column_text(q, VERDICT),
                 (const char *)sqlite3_column_text(q, LABEL));
    if (why) {
        vs_sheet_say(s, "%s", why);
        return;
    }
    say_amount(s, q, "peak", PEAK_A, most->peak, 1, vs_human_bytes);
    if (sqlite3_column_int(q, PEAK_WORSE) && grew)
        vs_sheet_say(s, ", %s grew most: +%s (%s -> %s)", grew, vs_human_bytes(to - from, grown),
                     vs_human_bytes(from, a), vs_human_bytes(to, b));
    else if (sqlite3_column_int(q, PEAK_WORSE)) vs_sheet_say(s, ", no category is known to have grown");
    vs_sheet_say(s, "; ");
    say_amount(s, q, "time", MS_A, most->time, 1e6, vs_human_time);
}

/* The last line; 1: a regression; -ENODATA: nothing was there to compare. */
static int conclude(struct vs_sheet *s, int quiet, struct vs_error *e)
{
    long long good = vs_sheet_number(s, "SELECT COUNT(*) FROM verdict WHERE verdict = 'ok'"),
              bad = vs_sheet_number(s, "SELECT COUNT(*) FROM verdict WHERE verdict IN ('worse', 'failed', 'missing')");
    if (s->failed) return vs_fail(e, EIO, "%s", s->error.text);
    if (!good && !bad) return vs_fail(e, ENODATA, "nothing could be compared: no experiment of the baseline succeeded");
    if (!quiet && bad) printf("REGRESSION in %lld of %lld experiments\n", bad, good + bad);
    else if (!quiet) printf("ok: %lld experiment%s\n", good, good == 1 ? "" : "s");
    return bad ? 1 : 0;
}

static int tell(sqlite3 *db, const struct thresholds *most, struct vs_error *e)
{
    struct vs_sheet s = {.out = stdout, .db = db};
    sqlite3_stmt *q = vs_sheet_query(&s, "SELECT * FROM verdict");
    while (vs_sheet_next(&s, &q)) {
        say_verdict(&s, q, most);
        putchar('\n');
    }
    q = vs_sheet_query(&s, "SELECT label, key, COALESCE(a, 'not told'), COALESCE(b, 'not told') FROM difference"
                           " JOIN paired USING (pair) WHERE key <> 'command_line' ORDER BY pair, key");
    while (vs_sheet_next(&s, &q)) {
        vs_sheet_say(&s, "note     %s: %s is %s in the baseline and %s now", (const char *)sqlite3_column_text(q, 0),
                     (const char *)sqlite3_column_text(q, 1), (const char *)sqlite3_column_text(q, 2),
                     (const char *)sqlite3_column_text(q, 3));
        putchar('\n');
    }
    return conclude(&s, 0, e);
}

static int tell_json(sqlite3 *db, const struct thresholds *most, struct vs_error *e)
{
    struct vs_sheet s = {.out = stdout, .db = db};
    sqlite3_stmt *q =
        vs_sheet_query(&s, "SELECT experiment, current, seq_len, verdict, reason, baseline_peak_bytes,"
                           " current_peak_bytes, peak_ratio, peak_worse, baseline_time_ms, current_time_ms, time_ratio,"
                           " time_worse, grew, grew_from_bytes, grew_to_bytes FROM verdict");
    int verdict = conclude(&s, 1, e);
    if (verdict >= 0) {
        int err;
        printf("{\"ok\":%s,\"threshold\":%.15g,\"time_threshold\":%.15g,\"experiments\":", verdict ? "false" : "true",
               most->peak, most->time);
        err = vs_export_rows(vs_exporter_find("json"), db, q, stdout, e);
        if (err) verdict = err;
        printf("}\n");
    }
    sqlite3_finalize(q);
    return verdict;
}

static int parse_threshold(const char *text, double *out)
{
    char *end;
    if (!text) return 0;
    *out = strtod(text, &end);
    return !*text || *end || !isfinite(*out) || *out < 1 ? -EINVAL : 0;
}

static int check(const char *const sides[2], const struct thresholds *most, int any_config, int json,
                 struct vs_error *e)
{
    sqlite3 *db = NULL;
    int err = vs_outcomes_pair(sides[0], sides[1], &db, e);
    if (!err && !any_config) err = vs_outcomes_comparable(db, sides, e);
    if (!err) err = judge(db, most, e);
    if (!err) err = (json ? tell_json : tell)(db, most, e);
    if (err >= 0 && (fflush(stdout) || ferror(stdout)))
        err = vs_fail(e, EIO, "cannot write the verdict: %s", strerror(errno));
    sqlite3_close(db);
    return err;
}

static int check_main(const struct vs_command *self, int argc, char **argv)
{
    const char *sides[2] = {NULL, NULL}, *threshold = NULL, *time_threshold = NULL;
    struct thresholds most = {1.05, 1.05};
    int any_config = 0, json = 0;
    const struct vs_option options[] = {
        {.name = "baseline",
         .argument = "A",
         .help = "what was good: a database, a result or a folder of a run",
         .text = &sides[0]},
        {.name = "current", .argument = "B", .help = "what is judged", .text = &sides[1]},
        {.name = "threshold",
         .argument = "X",
         .help = "most that peak and time may be of the baseline's (default: 1.05)",
         .text = &threshold},
        {.name = "time-threshold", .argument = "X", .help = "the same of the time alone", .text = &time_threshold},
        {.name = "any-config", .help = "judge also what was run with another seed or configuration", .on = &any_config},
        {.name = "json", .help = "write the verdicts as JSON", .on = &json},
        {0}};
    struct vs_operands operands = {0};
    struct vs_error e;
    int result, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (operands.count || !sides[0] || !sides[1])
        return vs_usage(self, "check needs --baseline A and --current B, and nothing else");
    if (parse_threshold(threshold, &most.peak))
        return vs_usage(self, "--threshold needs a number from 1 on, not '%s'", threshold);
    most.time = most.peak;
    if (parse_threshold(time_threshold, &most.time))
        return vs_usage(self, "--time-threshold needs a number from 1 on, not '%s'", time_threshold);
    result = check(sides, &most, any_config, json, &e);
    if (result < 0) vs_complain("%s", e.text);
    return result < 0 ? VS_USAGE : result ? VS_FAILED : VS_OK;
}

const struct vs_command vs_command_check = {
    .name = "check",
    .operands = "--baseline A --current B [--threshold X] [--json]",
    .summary = "Fail if peak memory or time grew beyond a threshold",
    .about = "A and B are each a database, the result of one experiment (JSON) or a folder of a run of the suite,\n"
             "paired as by vramscope compare. Time is the median of the iterations where both sides know it, else\n"
             "the mean. A regression is a peak or a time above the threshold, an experiment that is missing or\n"
             "failed now, and a peak or a time that is not known any more.\n"
             "Exit status: 0 none; 1 a regression, named with the category that grew most; 2 it could not be\n"
             "judged: a side cannot be read, seed or configuration differ (both values are named), or usage.",
    .example = "vramscope check --baseline good/ghost_result.json --current new/ghost_result.json --threshold 1.02",
    .main = check_main};
