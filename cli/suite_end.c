/* SPDX-License-Identifier: MIT
 *
 * suite_end.c: what a run of the suite came to: figures, the SUMMARY lines of the scripts that went before, the next command.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../exporters/visible.h"
#include "../viz/experiments.h"
#include "command.h"
#include "human.h"
#include "suite.h"

static int is_good(const struct vs_suite_one *x)
{
    return x->state == VS_SUITE_KEPT || x->state == VS_SUITE_DONE;
}

static int count(const struct vs_suite *s, int good)
{
    int n = 0;
    for (int i = 0; i < s->count; i++) n += good ? is_good(&s->one[i]) : s->one[i].state >= VS_SUITE_FAILED;
    return n;
}

static void number(double value, char out[32])
{
    if (isnan(value)) snprintf(out, 32, "unknown");
    else snprintf(out, 32, "%.2f", value);
}

/* A number that may be wrong is not printed as if it were not. */
static void doubts(const struct vs_suite_one *x)
{
    char lost[VS_VISIBLE_ROOM(VS_EXPERIMENT_TEXT)];
    vs_visible(x->facts.lost, strlen(x->facts.lost), 0, lost, sizeof lost);
    if (*lost) printf("    !! lost while recording: %s\n", lost);
    if (x->facts.arena_mismatch)
        printf("    !! the recording and the arena's own count of live bytes differ: see snapshots in the result\n");
}

static void summary(const struct vs_suite *s)
{
    char path[4400];
    printf("SUMMARY  %s\n", vs_human_path(s->folder, path, sizeof path));
    for (int i = 0; i < s->count; i++) {
        const struct vs_suite_one *x = &s->one[i];
        char name[96], peak[32], time[32], reason[VS_VISIBLE_ROOM(VS_EXPERIMENT_TEXT)];
        snprintf(name, sizeof name, "%s%s%s", x->name, s->several ? " T=" : "", s->several ? x->length : "");
        number(x->facts.peak_mb, peak);
        number(x->facts.avg_ms, time);
        vs_visible(x->reason, strlen(x->reason), 0, reason, sizeof reason);
        if (is_good(x)) printf("  %s: Peak Memory = %s MB, Avg Time = %s ms\n", name, peak, time);
        else if (x->state == VS_SUITE_WAITS) printf("  %s: not run\n", name);
        else printf("  %s: FAILED (%s)\n", name, reason);
        doubts(x);
    }
}

/* The command that goes on where this one ended: as it was typed, but for -o and --resume. */
static void next_resume(const struct vs_suite *s)
{
    char word[4400];
    printf("next: vramscope suite --resume %s", vs_human_path(s->folder, word, sizeof word));
    if (s->experiments) printf(" --experiments %s", vs_human_path(s->experiments, word, sizeof word));
    if (s->lengths) printf(" --seq-len %s", vs_human_path(s->lengths, word, sizeof word));
    if (s->trace) printf(" --trace %s", s->trace);
    for (int i = VS_BENCH_OURS; i < s->passed.argc; i++)
        printf(" %s", vs_human_path(s->passed.argv[i], word, sizeof word));
    printf("\n");
}

/* 0, or -ENOENT and the like: said. */
static int draw(const struct vs_suite *s)
{
    const struct vs_plot_options how = {.quiet = 1}; /* SUMMARY says what failed */
    struct vs_error e;
    char folder[4300];
    int err;
    snprintf(folder, sizeof folder, "%s/visualizations", s->folder);
    err = vs_plot_experiments(s->folder, folder, &how, &e);
    if (err) vs_complain("no figures: %s", e.text);
    return err;
}

int vs_suite_end(struct vs_suite *s)
{
    char path[4400], figures[4400], folder[4300];
    int failed = count(s, 0), undrawn = 0;
    if (failed == s->count && !count(s, 1)) {
        int refused = 1;
        for (int i = 0; i < s->count; i++) refused &= s->one[i].state == VS_SUITE_REFUSED;
        if (refused) { /* the options are wrong, whatever the experiment */
            vs_suite_drop_folder(s);
            return VS_USAGE;
        }
    }
    if (!s->stopped && count(s, 1)) undrawn = draw(s);
    summary(s);
    snprintf(folder, sizeof folder, "%s/visualizations", s->folder);
    vs_human_path(s->folder, path, sizeof path);
    if (!s->stopped && !undrawn && count(s, 1))
        printf("figures: %s\n", vs_human_path(folder, figures, sizeof figures));
    if (s->stopped) {
        fprintf(stderr, "vramscope: stopped by signal %d; what was done stays\n", s->stopped);
        next_resume(s);
    } else if (failed) next_resume(s);
    else if (undrawn)
        printf("next: vramscope plot --input-dir %s --output-dir %s\n", path,
               vs_human_path(folder, figures, sizeof figures));
    else printf("next: vramscope export %s --format markdown\n", path);
    if (fflush(stdout) || ferror(stdout)) return vs_complain("cannot write the summary: %s", strerror(errno));
    return s->stopped ? 128 + s->stopped : failed || undrawn ? VS_FAILED : VS_OK;
}
