/* SPDX-License-Identifier: MIT
 *
 * test_gpu.c: a real GPU, a real driver: `make check-gpu`. Every count and byte of tests/gpu/every_kind.cu, whose numbers are
 * known here, and of tests/programs_cuda/oracle.cu, which prints its own account; with the CUDA runtime linked statically and
 * as a shared library, at both trace levels. It must never accept "about right", so nobody else may use the GPU meanwhile.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording.h"

Suite *make_gpu_suite(void);

static struct recording r;

static const struct {
    const char *program, *trace;
} cases[] = {{"every_kind", "memory"}, {"every_kind", "kernels"}, {"every_kind_shared", "memory"}, {"every_kind_shared", "kernels"}};

/* Without the stand-ins; with what the user's own environment says. */
static const char *libraries(void)
{
    static char text[4096];
    const char *own = getenv("LD_LIBRARY_PATH");
    if (!own) own = "";
    snprintf(text, sizeof text, "LD_LIBRARY_PATH=%s%s/usr/local/cuda/lib64:/usr/local/cuda/lib", own, *own ? ":" : "");
    return text;
}

static long long printed(const char *name)
{
    char key[64];
    const char *at;
    snprintf(key, sizeof key, "%s ", name);
    at = strstr(r.out, key);
    ck_assert_msg(at != NULL, "the program did not print %s: %s", name, r.out);
    return atoll(at + strlen(key));
}

static void run(int i)
{
    char trace[64], name[64], program[512];
    const char *argv[] = {program, NULL}, *env[] = {trace, libraries(), NULL};
    snprintf(trace, sizeof trace, "VRAMSCOPE_TRACE=%s", cases[i].trace);
    snprintf(name, sizeof name, "gpu-%s-%s", cases[i].program, cases[i].trace);
    snprintf(program, sizeof program, VS_BUILD_DIR "/tests/gpu/%s", cases[i].program);
    recording_begin(&r, name);
    recording_run(&r, argv, env);
    ck_assert_msg(r.status == 0, "status %x: %s%s", r.status, r.out, r.err);
    ck_assert_str_eq(r.err, "");
    recording_ingest(&r);
    recording_check(&r, 0);
}

static void is(const char *where, long long count, long long bytes)
{
    ck_assert_msg(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE %s", where) == count, "%s: %lld rows instead of %lld",
                  where, recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE %s", where), count);
    ck_assert_msg(recording_int(&r, "SELECT ifnull(SUM(bytes), 0) FROM allocation WHERE %s", where) == bytes,
                  "%s: %lld bytes instead of %lld", where,
                  recording_int(&r, "SELECT SUM(bytes) FROM allocation WHERE %s", where), bytes);
}

#define MIB (1ll << 20)

static void check_memory(void)
{
    long long mip = 4 * (256 * 256 + 128 * 128 + 64 * 64 + 32 * 32 + 16 * 16);
    long long arrays = 1000 * 4 + 100 * 10 * 4 + 17 * 9 * 5 * 4 + 20 * 10 * 7 * 4 + 64 * 64 * 6 * 4 + mip;

    is("source = 'cuda' AND flags & 16", 1, 4 * MIB);
    is("source = 'cuda' AND NOT flags & 16", 4, 4 * MIB + 1 + 4096 + printed("pitch") * 10 + printed("box_pitch") * 30);
    is("source = 'array'", 6, arrays);
    is("source = 'managed'", 1, 2 * MIB);
    is("source = 'pinned' AND flags & 2", 1, 65536);
    is("source = 'pinned' AND NOT flags & 2 AND alloc_range_id IS NOT NULL", 1, 12345);
    is("source = 'cuda_async' AND level = 'sub'", 3, 3 * MIB + 3000 + 5 * MIB);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM live_at_end WHERE source = 'cuda' AND bytes = 4096"), 0 + 1);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation_failure"), 1);
    ck_assert_int_eq(recording_int(&r, "SELECT bytes FROM allocation_failure"), 1ll << 42);
    ck_assert_int_eq(recording_int(&r, "SELECT total_bytes FROM allocation_failure"), printed("total"));
    ck_assert_int_gt(recording_int(&r, "SELECT free_bytes FROM allocation_failure"), 0);
    /* Each byte once: all that was ever live together is less than what the driver says is gone. */
    ck_assert_int_le(recording_int(&r, "SELECT SUM(bytes) FROM live_at_end WHERE level = 'held' AND device = 0"),
                     printed("total") - printed("free_after"));
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM range"), 7);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation a JOIN range g ON g.id = a.alloc_range_id JOIN string s ON "
                                       "s.id = g.name_id WHERE s.text = 'arrays' AND a.source = 'array'"), 6);
    ck_assert_int_gt(recording_int(&r, "SELECT MAX(used_bytes) FROM device_sample"), 0);
    ck_assert_str_ne(recording_text(&r, "SELECT uuid FROM device"), "NULL");
    printf("%s: driver blocks at their peak %lld bytes; the driver's own drop in free memory %lld\n", r.folder,
           recording_int(&r, "SELECT peak_bytes FROM peak_data WHERE series = 'held' AND device = 0"),
           printed("free_before") - printed("free_after"));
}

static void check_work(void)
{
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel k JOIN string s ON s.id = k.name_id WHERE s.text LIKE '%%thirteen%%'"), 13);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel k JOIN string s ON s.id = k.name_id WHERE s.text LIKE '%%in_graph%%'"), 15);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel"), 13 + 15 + 1);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel WHERE thread_id IS NULL OR range_id IS NULL OR end_ns <= begin_ns"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel k JOIN range g ON g.id = k.range_id JOIN string s ON s.id = "
                                       "g.name_id WHERE s.text = 'work' AND k.begin_ns >= k.launch_ns"), 29);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE direction = 'HtoD'"), 7);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE direction = 'DtoH'"), 5);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE direction = 'DtoD'"), 3);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE op = 'set'"), 4);
    is("source = 'static' AND bytes >= 1048576", 1, MIB);
}

START_TEST(test_every_kind)
{
    run(_i);
    check_memory();
    if (!strcmp(cases[_i].trace, "kernels")) {
        check_work();
        ck_assert_int_eq(printed("cupti"), 1);
    } else {
        ck_assert_int_eq(printed("cupti"), 0); /* a mere client of CUPTI costs a launch-bound program several percent */
        ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel"), 0);
    }
    recording_end(&r);
}
END_TEST

/* ---- the oracle, by its own account ---- */

static long long truth(const char *path)
{
    long long value = recording_int(&r, "SELECT json_extract('%s', '$.%s')", r.out, path);
    ck_assert_msg(value >= 0, "the program does not tell %s: %s", path, r.out);
    return value;
}

static const char *truth_text(const char *path)
{
    return recording_text(&r, "SELECT json_extract('%s', '$.%s')", r.out, path);
}

static void run_oracle(int i)
{
    static const char *const programs[] = {"oracle_static", "oracle_shared"}, *const traces[] = {"memory", "kernels"};
    char trace[64], name[64], program[512];
    const char *argv[] = {program, NULL}, *env[] = {trace, libraries(), NULL};
    snprintf(trace, sizeof trace, "VRAMSCOPE_TRACE=%s", traces[i % 2]);
    snprintf(name, sizeof name, "gpu-%s-%s", programs[i / 2], traces[i % 2]);
    snprintf(program, sizeof program, VS_BUILD_DIR "/tests/programs_cuda/%s", programs[i / 2]);
    recording_begin(&r, name);
    recording_run(&r, argv, env);
    ck_assert_msg(r.status == 0, "status %x: %s%s", r.status, r.out, r.err);
    ck_assert_str_eq(r.err, "");
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM process"), 2);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM process WHERE ended <> 'exit'"), 0);
}

#define EQUAL(expected, ...)                                                                                     \
    do {                                                                                                         \
        long long want_ = (expected), have_ = recording_int(&r, __VA_ARGS__);                                    \
        ck_assert_msg(have_ == want_, "%s: %lld instead of %lld (%s)", r.folder, have_, want_, #__VA_ARGS__);    \
    } while (0)

/* The oracle's process, and when one of its moments was. */
#define MAIN "(SELECT p.id FROM process p WHERE p.pid = %lld)"
#define AT "(SELECT m.ts_ns FROM mark m JOIN string s ON s.id = m.name_id WHERE s.text = '%s' AND m.process_id = " MAIN ")"

static void check_kinds(long long pid)
{
    static const struct {
        const char *kind, *where;
    } kinds[] = {{"device", "source = 'cuda' AND level = 'held' AND NOT flags & 16 AND device = 0"},
                 {"virtual", "source = 'cuda' AND level = 'held' AND flags & 16 AND device = 0"},
                 {"array", "source = 'array' AND level = 'held' AND device = 0"},
                 {"managed", "source = 'managed' AND level = 'held' AND device = 0"},
                 {"pinned", "source = 'pinned' AND level = 'held' AND NOT flags & 2 AND device IS NULL"},
                 {"registered", "source = 'pinned' AND level = 'held' AND flags & 2 AND device IS NULL"},
                 {"async", "source = 'cuda_async' AND level = 'sub' AND NOT flags & 8 AND device = 0"},
                 {"captured", "source = 'cuda_async' AND level = 'sub' AND flags & 8 AND device = 0"}};
    long long all = 0;
    char path[64];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(path, sizeof path, "kinds.%s.count", kinds[i].kind);
        all += truth(path);
        EQUAL(truth(path), "SELECT COUNT(*) FROM allocation WHERE %s AND process_id = " MAIN, kinds[i].where, pid);
        snprintf(path, sizeof path, "kinds.%s.bytes", kinds[i].kind);
        EQUAL(truth(path), "SELECT ifnull(SUM(bytes), 0) FROM allocation WHERE %s AND process_id = " MAIN, kinds[i].where, pid);
    }
    /* Nothing else is there; everything was freed, and made on the main thread inside a range but the last. */
    EQUAL(all, "SELECT COUNT(*) FROM allocation WHERE NOT (source = 'cuda_async' AND level = 'held') AND source <> 'static' "
               "AND process_id = " MAIN, pid);
    EQUAL(0, "SELECT COUNT(*) FROM live_at_end WHERE source <> 'static' AND process_id = " MAIN, pid);
    EQUAL(1, "SELECT COUNT(*) FROM allocation WHERE source NOT IN ('static', 'cuda_async') AND alloc_range_id IS NULL AND "
             "process_id = " MAIN, pid);
    EQUAL(0, "SELECT COUNT(*) FROM allocation a JOIN thread t ON t.id = a.alloc_thread_id WHERE source NOT IN ('static', "
             "'cuda_async') AND t.tid <> %lld AND a.process_id = " MAIN, pid, pid);
}

/* Each byte once: at every moment what we call held is what the program asked for, and the driver has given away as much or
 * more. What the program asked for and did not touch (managed) takes no device memory. */
static void check_moments(long long pid, bool kernels)
{
    int n = (int)recording_int(&r, "SELECT json_array_length('%s', '$.moments')", r.out);
    ck_assert_int_eq(n, 12);
    for (int i = 0; i < n; i++) {
        char path[4][64];
        const char *fields[] = {"name", "held", "managed", "free"}, *name;
        for (int k = 0; k < 4; k++) snprintf(path[k], sizeof path[k], "moments[%d].%s", i, fields[k]);
        name = truth_text(path[0]);
        long long held = truth(path[1]), drop = truth("free_start") - truth(path[3]), fixed = 0, snapshot;
        EQUAL(held, "SELECT ifnull(SUM(bytes), 0) FROM allocation WHERE level = 'held' AND device = 0 AND source <> 'static' AND "
                    "process_id = " MAIN " AND alloc_ts_ns <= " AT " AND ifnull(free_ts_ns, 1 << 62) > " AT,
              pid, name, pid, name, pid);
        if (kernels)
            fixed = recording_int(&r, "SELECT ifnull(SUM(bytes), 0) FROM allocation WHERE source = 'static' AND process_id = " MAIN,
                                  pid);
        snapshot = recording_int(&r, "SELECT reserved_bytes FROM snapshot WHERE name = '%s' AND device = 0 AND process_id = " MAIN,
                                 name, pid);
        ck_assert_msg(snapshot >= held && snapshot <= held + fixed, "%s: %lld instead of %lld", name, snapshot, held);
        printf("%s: %-13s held %10lld, the driver's free memory fell by %10lld: %lld more\n", strrchr(r.folder, '/') + 1, name, held,
               drop, drop - held);
        if (strcmp(name, "reset"))
            ck_assert_msg(held - truth(path[2]) <= drop, "%s: held %lld of %lld", name, held, drop);
    }
    EQUAL(truth("reserved.default"), "SELECT MAX(reserved_bytes) FROM pool_sample WHERE pool = (SELECT stream FROM allocation WHERE "
          "source = 'cuda_async' AND bytes = 3 << 20) AND process_id = " MAIN, pid);
    EQUAL(truth("reserved.own"), "SELECT MAX(reserved_bytes) FROM pool_sample WHERE pool = (SELECT stream FROM allocation WHERE "
          "source = 'cuda_async' AND bytes = 40 << 20) AND process_id = " MAIN, pid);
    EQUAL(truth("reserved.graph"), "SELECT MAX(reserved_bytes) FROM pool_sample WHERE pool IS NULL AND process_id = " MAIN, pid);
}

static void check_device(long long pid)
{
    ck_assert_str_eq(recording_text(&r, "SELECT name FROM device WHERE device = 0 AND process_id = " MAIN, pid), truth_text("name"));
    ck_assert_str_eq(recording_text(&r, "SELECT uuid FROM device WHERE device = 0 AND process_id = " MAIN, pid), truth_text("uuid"));
    EQUAL(truth("total"), "SELECT total_bytes FROM device WHERE device = 0 AND process_id = " MAIN, pid);
    EQUAL(1, "SELECT COUNT(*) FROM device WHERE process_id = " MAIN, pid);
    EQUAL(1, "SELECT COUNT(*) FROM allocation_failure");
    EQUAL(1, "SELECT COUNT(*) FROM allocation_failure f JOIN range g ON g.id = f.range_id JOIN string s ON s.id = g.name_id WHERE "
             "f.source = 'cuda' AND f.error = 2 AND f.device = 0 AND s.text = 'device'");
    EQUAL(truth("failure.asked"), "SELECT bytes FROM allocation_failure");
    EQUAL(truth("failure.free"), "SELECT free_bytes FROM allocation_failure");
    EQUAL(truth("failure.total"), "SELECT total_bytes FROM allocation_failure");
    /* The program slept at its last moment but one: a sample says what the driver said then. */
    ck_assert_int_ge(recording_int(&r, "SELECT COUNT(*) FROM device_sample WHERE device = 0 AND free_bytes = %lld AND ts_ns > " AT
                                       " AND process_id = " MAIN, truth("moments[10].free"), "end", pid, pid), 1);
    EQUAL(7, "SELECT COUNT(*) FROM range WHERE end_ns IS NOT NULL AND process_id = " MAIN, pid);
    EQUAL(7, "SELECT COUNT(DISTINCT name_id) FROM range");
}

/* The importer holds what it made; what it opened is listed. */
static void check_importer(long long pid)
{
    EQUAL(2, "SELECT COUNT(*) FROM allocation WHERE imported AND bytes = 4 << 20 AND device = 0 AND process_id = " MAIN, pid);
    EQUAL(1, "SELECT COUNT(*) FROM allocation WHERE imported AND free_ts_ns IS NULL");
    EQUAL(2, "SELECT COUNT(*) FROM allocation WHERE imported");
    EQUAL(1 << 20, "SELECT MAX(bytes) FROM allocation WHERE NOT imported AND source <> 'static' AND process_id = " MAIN, pid);
    EQUAL(1 << 20, "SELECT peak_bytes FROM peak_data WHERE series = 'cuda' AND device = 0 AND process_id = " MAIN, pid);
}

#define KERNELS "FROM kernel k JOIN thread t ON t.id = k.thread_id JOIN range g ON g.id = k.range_id JOIN string w ON w.id = g.name_id JOIN " \
                "string s ON s.id = k.name_id WHERE k.launch_ns <= k.begin_ns AND k.begin_ns < k.end_ns AND "

static void check_oracle_work(long long pid)
{
    static const char *const directions[] = {"HtoD", "DtoH", "DtoD"};
    long long worker = truth("worker"), all = 0;
    EQUAL(29, "SELECT COUNT(*) FROM kernel");
    EQUAL(13, "SELECT COUNT(*) " KERNELS "s.text LIKE '%%thirteen%%' AND w.text = 'work' AND t.tid = %lld AND k.graph IS NULL", worker);
    EQUAL(15, "SELECT COUNT(*) " KERNELS "s.text LIKE '%%in_graph%%' AND w.text = 'work' AND t.tid = %lld AND k.graph > 0", worker);
    EQUAL(1, "SELECT COUNT(*) " KERNELS "s.text LIKE '%%touch%%' AND w.text = 'start' AND t.tid = %lld", pid);
    ck_assert_str_eq(recording_text(&r, "SELECT name FROM thread WHERE tid = %lld", worker), "oracle-worker");
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "transfers.%s", directions[i]);
        all += truth(path);
        EQUAL(truth(path), "SELECT COUNT(*) FROM transfer f JOIN thread t ON t.id = f.thread_id JOIN range g ON g.id = f.range_id JOIN "
              "string w ON w.id = g.name_id WHERE op = 'copy' AND direction = '%s' AND bytes = %lld AND t.tid = %lld AND w.text = 'work'",
              directions[i], truth("transfers.each"), worker);
    }
    EQUAL(truth("transfers.set"), "SELECT COUNT(*) FROM transfer WHERE op = 'set' AND bytes = %lld", truth("transfers.each"));
    EQUAL(all + truth("transfers.set"), "SELECT COUNT(*) FROM transfer");
    EQUAL(1, "SELECT COUNT(*) FROM allocation a JOIN string s ON s.id = a.name_id WHERE a.source = 'static' AND s.text = "
             "'one_mebibyte' AND a.bytes = %lld AND a.device = 0 AND a.process_id = " MAIN, truth("static.one_mebibyte"), pid);
    EQUAL(1, "SELECT COUNT(*) FROM allocation a JOIN string s ON s.id = a.name_id WHERE a.source = 'static' AND s.text = "
             "'managed_words' AND a.bytes = %lld AND a.process_id = " MAIN, truth("static.managed_words"), pid);
}

START_TEST(test_oracle)
{
    bool kernels = _i % 2;
    run_oracle(_i);
    long long pid = truth("pid");
    check_kinds(pid);
    check_moments(pid, kernels);
    check_device(pid);
    check_importer(truth("importer"));
    ck_assert_int_eq(truth("cupti"), kernels);
    if (kernels) check_oracle_work(pid);
    else EQUAL(0, "SELECT (SELECT COUNT(*) FROM kernel) + (SELECT COUNT(*) FROM transfer)");
    recording_end(&r);
}
END_TEST

/* The built-in workload: the GPU's norms agree with float64, and its buffers have names. */
START_TEST(test_norms_workload)
{
    const char *argv[] = {VS_BUILD_DIR "/bin/vramscope-workload", "norms", "--device", "cuda", "--T", "256,1000", "--d", "512",
                          "--p", "384", "--check", NULL};
    const char *env[] = {libraries(), NULL};
    static const char *const names[] = {"activation/A", "gradient/G", "workspace/gram_full", "workspace/gram"};
    recording_begin(&r, "gpu-norms");
    recording_run(&r, argv, env);
    ck_assert_msg(r.status == 0, "status %x: %s%s", r.status, r.out, r.err);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_gt(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = 'region' AND device = 0 AND parent_id IS NOT NULL "
                                       "AND category = 'activation'"), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(recording_int(&r, "SELECT COUNT(*) FROM allocation a JOIN string n ON n.id = a.name_id WHERE a.source = 'region' AND "
                                        "a.device = 0 AND n.text = '%s'", names[i]) >= 2, "no region %s", names[i]);
    recording_end(&r);
}
END_TEST

/* PyTorch's own numbers, where there is PyTorch. */
START_TEST(test_torch)
{
    char command[2048];
    if (system("python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1")) {
        printf("gpu-torch: left out, python3 has no PyTorch with CUDA\n");
        return;
    }
    recording_begin(&r, "gpu-torch");
    snprintf(command, sizeof command, "python3 %s/bench/correct.py --build %s --cases gpt --work %s/work", VS_SOURCE_DIR,
             VS_BUILD_DIR, r.folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

Suite *make_gpu_suite(void)
{
    Suite *s = suite_create("gpu");
    TCase *c = tcase_create("gpu"), *torch = tcase_create("torch");
    tcase_set_timeout(c, 120);
    tcase_set_tags(c, "gpu");
    tcase_add_loop_test(c, test_every_kind, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(c, test_oracle, 0, 4);
    tcase_add_test(c, test_norms_workload);
    suite_add_tcase(s, c);
    tcase_set_timeout(torch, 400);
    tcase_set_tags(torch, "gpu");
    tcase_add_test(torch, test_torch);
    suite_add_tcase(s, torch);
    return s;
}
