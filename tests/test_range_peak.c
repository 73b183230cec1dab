/* SPDX-License-Identifier: MIT
 *
 * test_range_peak.c: the memory a range took, from rows made by hand: which bytes count, and when the answer is that
 * nobody knows.
 */
#include "test_cli.h"

#include "../db/range_peak.h"
#include "../db/store.h"

Suite *make_range_peak_suite(void);

#define PROCESS "INSERT INTO process (id, pid) VALUES (1, 10), (2, 11); INSERT INTO string VALUES (1, 'r'), (2, 's');"
#define RANGE(process, name, begin, end)                                                                               \
    "INSERT INTO range (process_id, thread_id, depth, name_id, kind, begin_ns, end_ns) VALUES (" #process              \
    ", 1, 0, " #name ", 'push', " #begin ", " #end ");"
#define PIECE(device, level, source, bytes, from, to, imported, flags)                                                 \
    "INSERT INTO allocation (process_id, device, level, source, bytes, alloc_ts_ns, free_ts_ns, imported, flags) "     \
    "VALUES ("                                                                                                         \
    "2, " #device ", '" #level "', '" #source "', " #bytes ", " #from ", " #to ", " #imported ", " #flags ");"

/* What happens in process 2 to range 1. */
static const struct {
    const char *sql;
    long long bytes; /* -1: unknown */
    const char *why;
} peaks[] = {
    {RANGE(2, 1, 10, 20) PIECE(0, held, cuda, 100, 5, 12, 0, 0) PIECE(0, held, cuda, 30, 13, 15, 0, 0), 0, NULL},
    {RANGE(2, 1, 10, 20) PIECE(0, held, cuda, 100, 5, NULL, 0, 0) PIECE(0, held, cuda, 30, 13, 15, 0, 0)
         PIECE(1, held, managed, 4, 14, NULL, 0, 0) PIECE(0, held, cuda, 1000, 21, NULL, 0, 0),
     34, NULL},
    {RANGE(2, 1, 10, 20) RANGE(2, 1, 30, 40) PIECE(0, held, cuda, 1, 11, 12, 0, 0)
         PIECE(0, held, cuda, 2, 31, NULL, 0, 0),
     2, NULL},
    {RANGE(2, 1, 10, 20) PIECE(0, held, cuda_async, 2048, 11, NULL, 0, 0) PIECE(0, sub, cuda_async, 7, 12, 13, 0, 0)
         PIECE(0, sub, region, 500, 12, 13, 0, 0) PIECE(NULL, held, pinned, 500, 12, 13, 0, 0)
             PIECE(0, held, cuda, 500, 12, 13, 1, 0) PIECE(0, sub, cuda_async, 600, 12, 13, 0, 8),
     7, NULL},
    {RANGE(2, 1, 10, 20) PIECE(0, held, cuda, 50, 12, 12, 0, 0) PIECE(0, held, cuda, 8, 13, 14, 0, 0), 50, NULL},
    {RANGE(1, 1, 10, 20) RANGE(2, 2, 10, 20) PIECE(0, held, cuda, 1, 11, 12, 0, 0), -1,
     "its range is not in the recording"},
    {RANGE(2, 1, 10, NULL) PIECE(0, held, cuda, 1, 11, 12, 0, 0), -1, "its range never ended"},
    {RANGE(2, 1, 10, 20), -1, "holds no CUDA memory"},
    {RANGE(2, 1, 10, 20) PIECE(0, held, cuda, 1, 11, 12, 0, 0) "INSERT INTO loss VALUES (2, 'cuda', 'pool_empty', 1)",
     -1, "the recording has losses"},
    {RANGE(2, 1, 10, 20) PIECE(0, held, cuda, 1, 11, 12, 0, 0) "INSERT INTO loss VALUES (2, 'nvtx', 'cut', 1),"
                                                               " (2, 'gpu', 'dropped', 1), (2, 'cuda', 'torn', 0)",
     1, NULL},
};

START_TEST(test_peak_inside_a_range)
{
    struct vs_range_peak peak;
    struct vs_error e = {""};
    char text[4096];
    sqlite3 *db = NULL;
    snprintf(text, sizeof text, PROCESS "%s", peaks[_i].sql);
    cli_database("t.db", text);
    ck_assert_int_eq(sqlite3_open("t.db", &db), SQLITE_OK);
    ck_assert_msg(!vs_range_peak_find(db, 1, "r", &peak, &e), "%s", e.text);
    sqlite3_close(db);
    if (peaks[_i].why) {
        ck_assert_ptr_nonnull(peak.unknown);
        HAS(peak.unknown, peaks[_i].why);
        ck_assert(peak.bytes == VS_NONE);
    } else {
        ck_assert_msg(!peak.unknown, "%s", peak.unknown);
        ck_assert_int_eq(peak.bytes, peaks[_i].bytes);
        ck_assert_int_eq(peak.process_id, 2);
    }
}
END_TEST

Suite *make_range_peak_suite(void)
{
    Suite *s = suite_create("range_peak");
    TCase *c = tcase_create("rows");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_add_loop_test(c, test_peak_inside_a_range, 0, sizeof peaks / sizeof *peaks);
    suite_add_tcase(s, c);
    return s;
}
