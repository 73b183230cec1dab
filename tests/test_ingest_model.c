/* SPDX-License-Identifier: MIT
 *
 * test_ingest_model.c: random programs against a model that does everything the slow way, and a real recording.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest_case.h"

static struct ingest_case c;
static uint64_t seed;

static void set_up(void)
{
    case_make(&c);
}
static void tear_down(void)
{
    case_remove(&c);
}

static unsigned dice(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 11) % n);
}

/* Two threads, two devices, nested ranges, PyTorch blocks inside driver blocks; timestamps that go back and forth. */
static void random_program(struct vs_log_writer *w, unsigned events)
{
    static uint64_t torch[2][200], cuda[2][40];
    uint64_t stack[3][8], ts = 5000;
    unsigned depth[3] = {0};
    memset(torch, 0, sizeof torch);
    memset(cuda, 0, sizeof cuda);
    for (unsigned i = 0; i < events; i++) {
        unsigned thread = 1 + dice(2), d = dice(2), k;
        uint64_t range = depth[thread] ? stack[thread][depth[thread] - 1] : 0, at = ts + dice(50);
        char name[16];
        ts += dice(20);
        switch (dice(8)) {
        case 0:
            if (depth[thread] < 8) {
                snprintf(name, sizeof name, "r%u", dice(5));
                stack[thread][depth[thread]++] = vs_put_range(w, thread, name, range, dice(6) ? 0 : 0, at);
            }
            break;
        case 1:
            if (depth[thread]) vs_put_range_end(w, thread, stack[thread][--depth[thread]], at);
            break;
        case 2:
            k = dice(40);
            if (cuda[d][k]) vs_put_free(w, thread, VS_MEM_CUDA, (uint64_t)(d + 1) << 40 | (uint64_t)k << 24, range, at);
            else
                vs_put_alloc(w, thread, (int)d, VS_MEM_CUDA, (uint64_t)(d + 1) << 40 | (uint64_t)k << 24,
                             1 + dice(1 << 24), range, at);
            cuda[d][k] = !cuda[d][k];
            break;
        default:
            k = dice(200);
            uint64_t address = (uint64_t)(d + 1) << 40 | (uint64_t)(k / 5) << 24 | (uint64_t)(k % 5) << 20;
            if (torch[d][k]) vs_put_torch(w, thread, (int)d, address, -(int64_t)torch[d][k], 0, 0, range, at);
            torch[d][k] = torch[d][k] ? 0 : 1 + dice(100000);
            if (torch[d][k]) vs_put_torch(w, thread, (int)d, address, (int64_t)torch[d][k], 0, 0, range, at);
        }
    }
}

/* Everything that is computed while ingesting follows from the rows: SQL says the same, slowly. */
static void check_against_rows(const char *db)
{
    /* live bytes after every event, per device and level, from the rows alone */
    const char *curve =
        "WITH e(device, level, ts, d) AS (SELECT COALESCE(device, -1), level, alloc_ts_ns, bytes FROM "
        "allocation WHERE NOT imported AND NOT flags & 40 UNION ALL SELECT COALESCE(device, -1), level, "
        "free_ts_ns, -bytes FROM allocation WHERE free_ts_ns IS NOT NULL AND NOT imported AND NOT flags & 40), "
        "s AS (SELECT device, level, ts, SUM(d) OVER (PARTITION BY device, level ORDER BY ts, d) AS live "
        "FROM e) ";
    char sql[2000];
    snprintf(sql, sizeof sql,
             "%s SELECT COUNT(*) FROM (SELECT device, level, MAX(live) AS m FROM s GROUP BY 1, 2) x "
             "JOIN peak_data p ON p.device = x.device AND p.series = x.level WHERE p.peak_bytes <> x.m",
             curve);
    ck_sql(db, sql, 0);
    snprintf(sql, sizeof sql,
             "%s SELECT COUNT(*) FROM peak_data p WHERE series IN ('held', 'sub') AND peak_ts_ns <> "
             "(SELECT MIN(ts) FROM s WHERE s.device = p.device AND s.level = p.series AND s.live = p.peak_bytes)",
             curve);
    ck_sql(db, sql, 0);
    ck_sql(db,
           "SELECT COUNT(*) FROM peak_data p WHERE series IN ('held', 'sub') AND peak_bytes > 0 AND peak_bytes IS NOT "
           "(SELECT SUM(bytes) FROM at_peak a WHERE a.device = p.device AND a.level = p.series)",
           0);
    ck_sql(
        db,
        "WITH x AS (SELECT p.device, a.level, a.source, a.category, s.text AS name, SUM(a.bytes) AS bytes, COUNT(*) "
        "AS n FROM peak_data p JOIN allocation a ON COALESCE(a.device, -1) = p.device AND a.level = p.series AND "
        "NOT a.imported AND NOT a.flags & 40 AND a.alloc_ts_ns <= p.peak_ts_ns AND (a.free_ts_ns IS NULL OR "
        "a.free_ts_ns > "
        "p.peak_ts_ns) LEFT JOIN range r ON r.id = a.alloc_range_id LEFT JOIN string s ON s.id = r.name_id GROUP BY "
        "1, 2, 3, 4, 5) SELECT (SELECT COUNT(*) FROM (SELECT * FROM x EXCEPT SELECT device, level, source, category, "
        "range_name, bytes, count FROM at_peak)) + ABS((SELECT COUNT(*) FROM x) - (SELECT COUNT(*) FROM at_peak))",
        0);
    ck_sql(db,
           "SELECT COUNT(*) FROM (SELECT alloc_ts_ns AS t FROM allocation UNION ALL SELECT free_ts_ns FROM allocation "
           "WHERE free_ts_ns IS NOT NULL) GROUP BY t HAVING COUNT(*) > 1",
           INT64_MIN);
    ck_sql(
        db,
        "SELECT COUNT(*) FROM allocation a JOIN allocation b ON b.id = a.id + 1 WHERE b.alloc_ts_ns <= a.alloc_ts_ns",
        0);
    ck_sql(
        db,
        "SELECT COUNT(*) FROM peak_data p WHERE series IN ('held', 'sub', 'torch', 'cuda') AND (peak_bytes <> (SELECT "
        "MAX(max_bytes) FROM timeline t WHERE t.device = p.device AND t.series = p.series) OR live_bytes <> (SELECT "
        "last_bytes FROM timeline t WHERE t.device = p.device AND t.series = p.series ORDER BY ts_ns DESC LIMIT 1))",
        0);
}

/* Ranges against the program itself, replayed event by event. The rows cannot say it: ranges keep their own times. */
struct event {
    int kind; /* 0 change, 1 begin, 2 end */
    int meter;
    int64_t delta;
    uint64_t number;
};

START_TEST(test_random_program_agrees_with_sql)
{
    seed = 1000003u * (unsigned)(_i + 1);
    struct vs_log_writer_options o = {.run = c.run, .memory = c.memory, .shuffle = (uint64_t)_i};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    random_program(w, 20000);
    vs_log_writer_close(w, _i % 2 ? VS_WRITER_EXIT : VS_WRITER_KILL);
    case_ingest(&c, c.db);
    case_balanced(c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM loss", 0);
    check_against_rows(c.db);
}
END_TEST

START_TEST(test_range_peaks_agree_with_brute_force)
{
    enum { N = 3000 };
    static struct event log[N];
    static uint64_t open[64];
    static int64_t size[2][64];
    unsigned n = 0, depth = 0;
    struct vs_log_writer *w = case_writer(&c, 0);
    seed = 77 + (unsigned)_i;
    memset(size, 0, sizeof size);
    while (n < N) {
        uint64_t ts = 10000 + n * 10;
        unsigned what = dice(6), k = dice(64), d = dice(2);
        if (what == 0 && depth < 10) {
            open[depth] = vs_put_range(w, 1, "r", depth ? open[depth - 1] : 0, 0, ts);
            log[n++] = (struct event){1, 0, 0, open[depth++]};
        } else if (what == 1 && depth) {
            vs_put_range_end(w, 1, open[--depth], ts);
            log[n++] = (struct event){2, 0, 0, open[depth]};
        } else if (what > 1) {
            int64_t delta = size[d][k] ? -size[d][k] : (int64_t)(1 + dice(1000000));
            vs_put_torch(w, 1 + dice(2), (int)d, 0x1000000 * (k + 1), delta, 0, 0, 0, ts);
            size[d][k] += delta;
            log[n++] = (struct event){0, (int)d, delta, 0};
        }
    }
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    unsigned rows = 0;
    for (unsigned b = 0; b < N; b++) {
        unsigned e = b;
        while (log[b].kind == 1 && e < N && !(log[e].kind == 2 && log[e].number == log[b].number)) e++;
        if (log[b].kind != 1 || e == N) continue;
        for (int d = 0; d < 2; d++) {
            int64_t live = 0, at_begin = 0, peak = 0;
            unsigned events = 0;
            for (unsigned i = 0; i < e; i++) {
                if (i == b) peak = at_begin = live;
                if (log[i].kind || log[i].meter != d) continue;
                live += log[i].delta;
                events += i > b;
                if (i > b && live > peak) peak = live;
            }
            if (!events) continue;
            rows++;
            if (rows % 7) /* each check opens the database */
                continue;
            char sql[200];
            snprintf(sql, sizeof sql,
                     "SELECT COUNT(*) FROM range_memory_data WHERE range_id = %llu AND device = %d AND level = "
                     "'sub' AND peak_bytes = %lld AND net_bytes = %lld",
                     (unsigned long long)log[b].number, d, (long long)peak, (long long)(live - at_begin));
            ck_sql(c.db, sql, 1);
        }
    }
    ck_sql(c.db, "SELECT COUNT(*) FROM range_memory_data", rows);
}
END_TEST

/* A program that runs while it is ingested, by one ingest or by a new one each time. */
START_TEST(test_incremental_equals_one_shot)
{
    char one[100];
    struct vs_error e = {""};
    struct vs_ingest *in = NULL;
    snprintf(one, sizeof one, "%s/one.db", c.root);
    struct vs_log_writer_options o = {.run = c.run, .memory = c.memory, .alive = true, .slabs = 64};
    int ready[2], go[2];
    char byte = 0;
    ck_assert(!pipe(ready) && !pipe(go));
    pid_t child = fork(); /* alive must be a process that ends */
    if (!child) {
        seed = 4711 + (unsigned)_i;
        struct vs_log_writer *w = vs_log_writer_open(&o);
        for (int part = 0; part < 6; part++) {
            random_program(w, 3000); /* leaves blocks live: the next part's allocations replace them, and are counted */
            vs_put_launch(w, 1, (uint32_t)part, 0, 900000);
            vs_put_kernel(w, 2, 0, (uint32_t)part - 1, (uint32_t)part + 1, 900000, 900100);
            vs_put_string(w, 2, (uint32_t)part, (const char *[]){"", "one", "two", "three", "four", "five"}[part]);
            if (part != 3) vs_log_writer_flush(w);
            if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1) _exit(1);
        }
        random_program(w, 500); /* only in memory */
        vs_log_writer_close(w, VS_WRITER_KILL);
        _exit(0);
    }
    for (int part = 0; part < 6; part++) {
        ck_assert(read(ready[0], &byte, 1) == 1);
        if (!in) ck_assert_msg(!vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e), "%s", e.text);
        ck_assert_msg(!vs_ingest_step(in, c.run, &e), "%s", e.text);
        if (_i % 2) { /* forgets everything */
            vs_ingest_close(in);
            in = NULL;
            ck_sql(c.db, "SELECT ended = 'running' FROM process", 1);
        }
        ck_assert(write(go[1], &byte, 1) == 1);
    }
    ck_assert(waitpid(child, NULL, 0) == child);
    if (!in) ck_assert(!vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e));
    ck_assert_msg(!vs_ingest_finish(in, c.run, 0, &e), "%s", e.text);
    vs_ingest_close(in);
    case_ingest(&c, one);
    char *a = case_dump(c.db), *b = case_dump(one);
    if (strcmp(a, b)) {
        size_t i = 0;
        while (a[i] == b[i]) i++;
        ck_abort_msg("differ at %zu: [%.300s] against [%.300s]", i, a + (i > 100 ? i - 100 : 0),
                     b + (i > 100 ? i - 100 : 0));
    }
    case_balanced(c.db);
    /* again: nothing changes */
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e));
    ck_assert(!vs_ingest_finish(in, c.run, 1, &e));
    vs_ingest_close(in);
    free(b);
    b = case_dump(c.db);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
}
END_TEST

START_TEST(test_real_recording_matches_its_own_totals)
{
    const char *data = "/work/shared/data/torch_allocator_llama_h200.csv.gz"; /* not part of the repository */
    FILE *in = access(data, R_OK) ? NULL : popen("gzip -dc /work/shared/data/torch_allocator_llama_h200.csv.gz", "r");
    struct vs_log_writer *w;
    char line[300];
    uint64_t rows = 0, most = 0, reserved_most = 0;
    if (!in) return;
    w = case_writer(&c, 0);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, in));
    while (fgets(line, sizeof line, in)) {
        unsigned long long ts, address, allocated, reserved;
        long long bytes;
        unsigned thread;
        ck_assert_int_eq(
            sscanf(line, "%llu,%llx,%lld,%llu,%llu,%u", &ts, &address, &bytes, &allocated, &reserved, &thread), 6);
        vs_put_torch(w, thread + 1, 0, address, bytes, allocated, reserved, 0, ts + 2000);
        most = allocated > most ? allocated : most;
        reserved_most = reserved > reserved_most ? reserved : reserved_most;
        rows++;
    }
    pclose(in);
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_assert_uint_eq(most, 8404051968);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'torch'", most);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'torch_allocated'", most);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'torch_reserved'", reserved_most);
    ck_sql(c.db, "SELECT allocations + frees FROM peak_data WHERE series = 'torch'", rows);
    ck_sql(c.db, "SELECT COUNT(*) FROM loss", 0);
    /* two timelines, one from the blocks and one from PyTorch's own totals: the same, bucket by bucket */
    ck_sql(c.db,
           "SELECT COUNT(*) FROM timeline a JOIN timeline b USING (ts_ns) WHERE a.series = 'torch' AND b.series = "
           "'torch_allocated' AND (a.max_bytes <> b.max_bytes OR a.last_bytes <> b.last_bytes)",
           0);
    ck_assert_int_gt(case_int(c.db, "SELECT COUNT(*) FROM timeline WHERE series = 'torch'"), 500);
    /* row by row: the running sum of the rows is the sum PyTorch reported */
    ck_sql(c.db,
           "SELECT MAX(live) FROM (SELECT SUM(d) OVER (ORDER BY t) AS live FROM (SELECT alloc_ts_ns AS t, bytes AS d "
           "FROM allocation UNION ALL SELECT free_ts_ns, -bytes FROM allocation WHERE free_ts_ns IS NOT NULL))",
           most);
    check_against_rows(c.db);
}
END_TEST

Suite *make_ingest_model_suite(void);
Suite *make_ingest_model_suite(void)
{
    Suite *s = suite_create("ingest_model");
    TCase *t = tcase_create("model");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_random_program_agrees_with_sql, 0, 6);
    tcase_add_loop_test(t, test_range_peaks_agree_with_brute_force, 0, 4);
    tcase_add_loop_test(t, test_incremental_equals_one_shot, 0, 4);
    tcase_add_test(t, test_real_recording_matches_its_own_totals);
    suite_add_tcase(s, t);
    return s;
}
