/* SPDX-License-Identifier: MIT
 *
 * bench_case.c: files, the stand-in for the workload, and questions to the database.
 */
#include "bench_case.h"

#include <glob.h>

void bench_write(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

void bench_folder(void)
{
    cli_folder();
    setenv("VRAMSCOPE_WORKLOAD", VS_BUILD_DIR "/tests/programs/norms_workload", 1);
    setenv("LD_LIBRARY_PATH", VS_BUILD_DIR "/fake", 1);
    setenv("FAKE_RESULTS", "rows", 1);
    bench_write("rows", ROWS);
}

int bench_no_nvtx(void)
{
    int status = system(VS_BUILD_DIR "/tests/programs/norms_workload >/dev/null 2>&1");
    return WIFEXITED(status) && WEXITSTATUS(status) == 77;
}

int bench_kept(const char *db)
{
    char pattern[64];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s.results.*.csv", db);
    int n = glob(pattern, 0, NULL, &found) ? 0 : (int)found.gl_pathc;
    globfree(&found);
    return n;
}

long long bench_number(const char *db, const char *sql)
{
    CLI("query", db, sql, "--format", "csv");
    STATUS(0);
    return strchr(got.out, '\n') ? atoll(strchr(got.out, '\n') + 1) : -1;
}
