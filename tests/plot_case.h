/* SPDX-License-Identifier: MIT
 *
 * plot_case.h: a database made by hand in a fresh folder, the charts drawn from it, and their svg as text. Must never
 * judge by time.
 */
#ifndef VS_TESTS_PLOT_CASE_H
#define VS_TESTS_PLOT_CASE_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../db/query.h"
#include "../db/schema.h"
#include "../viz/plot.h"

static char folder[64];
static sqlite3 *made;
static struct vs_error error;
static int wrote_count;

/* SQLite's own format: %Q is a quoted text or NULL. */
static inline void sql(const char *format, ...)
{
    char *message = NULL;
    va_list args;
    va_start(args, format);
    char *text = sqlite3_vmprintf(format, args);
    va_end(args);
    sqlite3_exec(made, text, NULL, NULL, &message);
    ck_assert_msg(!message, "%s: %s", message, text);
    sqlite3_free(text);
}

static inline void setup(void)
{
    strcpy(folder, "/tmp/vramscope-plot-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(sqlite3_open("run.db", &made), SQLITE_OK);
    sqlite3_exec(made, vs_schema_sql, NULL, NULL, NULL);
    sql("PRAGMA synchronous = OFF; BEGIN");
    sql("INSERT OR REPLACE INTO meta VALUES ('format_version', '%d')", VS_SCHEMA_VERSION);
    error.text[0] = 0;
    wrote_count = 0;
}

static inline void teardown(void)
{
    char command[128];
    sqlite3_close(made);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(system(command), 0);
}

static inline void wrote(void *arg, const char *path)
{
    ck_assert_int_eq(access(path, R_OK), 0);
    ++*(int *)arg;
}

/* What vs_plot returns; the database is complete from here on. */
static inline int plot(const char *out)
{
    struct vs_plot_options how = {.quiet = 1, .wrote = wrote, .arg = &wrote_count};
    struct vs_db *db = NULL;
    if (!sqlite3_get_autocommit(made)) sql("COMMIT");
    ck_assert_msg(!vs_db_open("run.db", &db, &error), "%s", error.text);
    int err = vs_plot(db, out, &how, &error);
    vs_db_close(db);
    return err;
}

static inline int no_gnuplot(void)
{
    if (!system("gnuplot --version >/dev/null 2>&1")) return 0;
    fprintf(stderr, "test_plot: gnuplot is not installed, drawing is not tested\n");
    return 1;
}

/* Good until the second next call. */
static inline char *slurp(const char *path)
{
    static char *kept[2];
    static int turn;
    struct stat st;
    FILE *f = fopen(path, "re");
    ck_assert_msg(f && !fstat(fileno(f), &st), "%s", path);
    free(kept[turn ^= 1]);
    char *text = kept[turn] = calloc(1, (size_t)st.st_size + 1);
    ck_assert_uint_eq(fread(text, 1, (size_t)st.st_size, f), (size_t)st.st_size);
    fclose(f);
    return text;
}

/* Nothing is left beside the charts. */
static inline int entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    if (d) closedir(d);
    return n;
}

static inline void add_process(int id, int device, int seconds)
{
    sql("INSERT INTO process (id, host, pid, rank, command_line, start_ns, start_real_ns, end_ns)"
        " VALUES (%d, 'box', %d, %d, 'train', 1000000, 1700000000000000000, %lld)",
        id, 100 + id, id - 1, 1000000 + seconds * 1000000000LL);
    if (device >= 0) sql("INSERT INTO device VALUES (%d, %d, 'H200', NULL, NULL, NULL)", id, device);
}

static inline void add_bucket(int process, int device, const char *series, double at_s, double width_s, double min, double max)
{
    sql("INSERT INTO timeline VALUES (%d, %d, %Q, %lld, %lld, %lld, %lld, %lld)", process, device, series,
        1000000 + (long long)(at_s * 1e9), (long long)(width_s * 1e9), (long long)min, (long long)max, (long long)max);
}

static inline void add_peak(int process, int device, const char *series, double at_s, double bytes)
{
    sql("INSERT INTO peak_data VALUES (%d, %d, %Q, %lld, %lld, 0, 1, 1, NULL)", process, device, series,
        (long long)bytes, 1000000 + (long long)(at_s * 1e9));
}

static inline void add_at_peak(int process, int device, const char *level, const char *source, const char *category,
                        const char *range, double bytes)
{
    sql("INSERT INTO at_peak VALUES (%d, %d, %Q, %Q, %Q, NULL, %Q, %lld, 1)", process, device, level, source, category,
        range, (long long)bytes);
}

static inline void add_range(int process, int depth, const char *name, double begin_s, double end_s)
{
    sql("INSERT INTO string (text) SELECT %Q WHERE NOT EXISTS (SELECT 1 FROM string WHERE text = %Q)", name, name);
    sql("INSERT INTO range (process_id, thread_id, depth, name_id, kind, begin_ns, end_ns)"
        " SELECT %d, 1, %d, id, 'push', %lld, %lld FROM string WHERE text = %Q",
        process, depth, 1000000 + (long long)(begin_s * 1e9), 1000000 + (long long)(end_s * 1e9), name);
}

static const double GIB = 1024.0 * 1024 * 1024;

#endif
