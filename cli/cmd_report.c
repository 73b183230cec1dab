/* SPDX-License-Identifier: MIT
 *
 * cmd_report.c: `vramscope report`: puts the sections of the report in order. Must never compute: the sections do.
 */
#include <errno.h>
#include <string.h>

#include "../db/query.h"
#include "command.h"
#include "human.h"
#include "one_recording.h"
#include "option.h"
#include "report.h"
#include "sheet.h"

static int check_rank(struct vs_sheet *s, struct vs_error *e)
{
    struct vs_sheet all = {.db = s->db};
    if (!s->has_rank || vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN)) return 0;
    if (!vs_sheet_number(&all, "SELECT COUNT(rank) FROM process"))
        return vs_fail(e, EINVAL, "no process of this run had a rank; leave --rank out");
    return vs_fail(e, EINVAL, "rank %lld was not recorded; there are ranks %lld to %lld", (long long)s->rank,
                   (long long)vs_sheet_number(&all, "SELECT MIN(rank) FROM process"),
                   (long long)vs_sheet_number(&all, "SELECT MAX(rank) FROM process"));
}

static void full(struct vs_sheet *s)
{
    vs_report_mortem(s);
    vs_report_memory(s);
    vs_report_account(s);
    vs_report_iterations(s);
    vs_report_peak(s);
    vs_report_live(s);
    vs_report_kernels(s);
    vs_report_ranges(s);
    vs_report_collectives(s);
    vs_report_failures(s);
    vs_report_losses(s);
    vs_report_cost(s);
}

static void brief(struct vs_sheet *s)
{
    vs_report_mortem(s);
    vs_report_memory(s);
    vs_report_iterations(s);
    vs_report_failures(s);
    vs_report_losses(s);
    vs_report_cost(s);
}

static const struct table {
    const char *name;
    void (*print)(struct vs_sheet *s);
} tables[] = {
#define X(name, help) {#name, vs_report_by_##name},
    VS_REPORT_TABLES(X)
#undef X
};

static int table(struct vs_sheet *s, const char *name, struct vs_error *e)
{
    size_t i = 0, n = sizeof tables / sizeof *tables;
    while (i < n && strcmp(tables[i].name, name)) i++;
    if (i == n) return vs_fail(e, EINVAL, "report has no table by %s", name);
    tables[i].print(s);
    return 0;
}

int vs_report(struct vs_db *db, const struct vs_report_options *o, FILE *out, struct vs_error *e)
{
    struct vs_sheet s = {.out = out, .db = vs_db_handle(db), .has_rank = o->has_rank, .rank = o->rank, .brief = o->brief,
                         .all = o->all};
    char path[4300];
    int err = check_rank(&s, e);
    if (err) return err;
    vs_human_path(o->db_path, path, sizeof path);
    if (vs_sheet_number(&s, "SELECT COUNT(*) FROM process") && o->by) {
        if ((err = table(&s, o->by, e))) return err;
    } else if (!s.failed && vs_sheet_number(&s, "SELECT COUNT(*) FROM process")) {
        vs_report_head(&s, o->db_path);
        (o->brief ? brief : full)(&s);
    } else
        vs_sheet_line(&s, "RECORDING  %s holds no process yet", path);
    if (s.failed) return vs_fail(e, EIO, "%s", s.error.text);
    if (!o->unfinished) fprintf(out, "next: vramscope %s %s%s\n", o->brief ? "report" : "plot", path, o->brief ? "" : " -o charts");
    return fflush(out) || ferror(out) ? vs_fail(e, EIO, "cannot write the report: %s", strerror(errno)) : 0;
}

#define X(name, help) " " #name
static const char by_choices[] = VS_REPORT_TABLES(X);
#undef X

static int report_main(const struct vs_command *self, int argc, char **argv)
{
    const char *rank = NULL;
    struct vs_report_options how = {0};
    const struct vs_option options[] = {
        {.name = "by", .argument = "WHAT", .help = "one table instead of the report: see above", .text = &how.by, .choices = by_choices + 1},
        {.name = "all", .help = "with --by: every row, however many", .on = &how.all},
        {.name = "rank", .argument = "N", .help = "only the processes of this rank", .text = &rank},
        {0}};
    struct vs_operands operands = {0};
    struct vs_one_recording one;
    struct vs_error e;
    int err, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (how.all && !how.by) return vs_usage(self, "--all goes with --by");
    if ((status = vs_one_recording_open(self, &operands, rank, &one)) >= 0) return status;
    how.has_rank = one.rank >= 0;
    how.rank = one.rank;
    how.db_path = one.path;
    err = vs_report(one.db, &how, stdout, &e);
    vs_db_close(one.db);
    return err ? vs_complain("%s", e.text) : VS_OK;
}

const struct vs_command vs_command_report = {
    .name = "report",
    .operands = "DB [--by WHAT] [--rank N]",
    .summary = "Print one screen: peaks, what was live then, time, losses, cost",
    .about = "DB is a database or a log folder. live (sub) is memory handed out inside held blocks, by PyTorch's\n"
             "caching allocator or a named region; held is memory taken from the driver or the operating system;\n"
             "the two are never added. Driver used is what all processes on the GPU use. Moments count from the\n"
             "start of the process.\n\n"
#define X(name, help) "\n  --by " #name ": " help
             "Tables:" VS_REPORT_TABLES(X),
#undef X
    .example = "vramscope report run.db --rank 0",
    .main = report_main};
