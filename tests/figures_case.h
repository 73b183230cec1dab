/* SPDX-License-Identifier: MIT
 *
 * figures_case.h: a folder `in` of results made by hand, in a folder of the test's own, and the figures drawn from it into
 * `out`. Must never judge by time.
 */
#ifndef VS_TESTS_FIGURES_CASE_H
#define VS_TESTS_FIGURES_CASE_H

#include "test_cli.h"

#include <dirent.h>
#include <errno.h>

#include "../viz/experiments.h"

/* As HAS and HAS_NOT of texts too long to be printed. */
#define SHOWS(text, part)     ck_assert_msg(strstr(text, part) != NULL, "'%s' is not there", part)
#define SHOWS_NOT(text, part) ck_assert_msg(!strstr(text, part), "'%s' is there", part)

#define FIXTURES VS_SOURCE_DIR "/tests/fixtures/experiments/fig_"

static const char *const stems[] = {"memory_breakdown_comparison", "memory_timeline", "performance_tradeoff",
                                    "time_vs_seq_length", "memory_vs_seq_length"};
enum { STEMS = sizeof stems / sizeof *stems };

static int files;

static inline void count(void *arg, const char *path)
{
    (void)arg;
    ck_assert(cli_exists(path));
    files++;
}

static inline int draw(const char *in, const char *out, struct vs_error *e)
{
    const struct vs_plot_options how = {.quiet = 1, .wrote = count};
    files = 0;
    return vs_plot_experiments(in, out, &how, e);
}

static inline int no_gnuplot(void)
{
    if (!system("gnuplot --version >/dev/null 2>&1")) return 0;
    fprintf(stderr, "test_experiment_figures: gnuplot is not installed, drawing is not tested\n");
    return 1;
}

static inline const char *text_of(const char *path)
{
    static char text[1 << 21];
    cli_read(path, text, sizeof text);
    return text;
}

static inline const char *svg(const char *stem)
{
    char path[128];
    snprintf(path, sizeof path, "out/%s.svg", stem);
    const char *text = text_of(path);
    SHOWS(text, "</svg>");
    return text;
}

static inline void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "in/%s", name);
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

/* Of sizes that nothing real has: `more` is a piece of JSON that comes first, so that it wins over what follows. */
static inline void result(const char *file, const char *experiment, int T, double parameters, double activations,
                          double ms, const char *more)
{
    char *text = sqlite3_mprintf(
        "{%s \"experiment\": \"%s\", \"status\": \"ok\", \"mode\": \"%s\", \"dtype\": \"bf16\", \"device\": \"cpu\", "
        "\"config\":"
        " {\"num_layers\": 2, \"seq_len\": %d, \"batch_size\": 1}, \"avg_time_ms\": %f, \"peak_memory_mb\": %f, "
        "\"breakdown\":"
        " {\"model_parameters_mb\": %f, \"activation_hooks_mb\": %f}, \"snapshots\": ["
        "{\"name\": \"0_model_loaded\", \"allocated_mb\": %f, \"reserved_mb\": %f, \"max_allocated_mb\": %f},"
        "{\"name\": \"3_iter0_after_forward\", \"allocated_mb\": %f, \"reserved_mb\": %f, \"max_allocated_mb\": %f}]}",
        more, experiment, experiment, T, ms, parameters + activations, parameters, activations, parameters,
        parameters * 2, parameters, parameters + activations / 2, parameters * 2, parameters + activations);
    put(file, text);
    sqlite3_free(text);
}

static inline void begin(void)
{
    cli_folder();
    ck_assert_int_eq(mkdir("in", 0700), 0);
}

static inline void copy_fixtures(void)
{
    static const char *const names[] = {"vanilla", "ghost", "flash_clip"};
    for (int i = 0; i < 3; i++) {
        char from[512], to[64];
        snprintf(from, sizeof from, FIXTURES "%s_result.json", names[i]);
        snprintf(to, sizeof to, "%s_result.json", names[i]);
        ck_assert(cli_exists(from));
        put(to, text_of(from));
    }
}

/* Nothing is left beside them. */
static inline int entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    if (d) closedir(d);
    return n;
}

#endif
