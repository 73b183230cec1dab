/* SPDX-License-Identifier: MIT
 *
 * test_python.c: Python stacks of allocations, end to end: of a real interpreter, compared frame by frame with what it says
 * of itself (programs/python_oracle.py), and of memory laid out like each version's, right and broken
 * (programs/python_images.c). A wrong pointer costs a line, never the program.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recording.h"

Suite *make_python_suite(void);

#define ORACLE VS_SOURCE_DIR "/tests/programs/python_oracle.py"

static struct recording r;
static char python[512]; /* the interpreter itself, not a script that finds it */
static const char *const wanted[] = {"VRAMSCOPE_PYTHON_LINES=1", NULL};

static void find_python(void)
{
    FILE *f = popen("python3 -c 'import sys; print(sys.executable)'", "r");
    if (!f || !fgets(python, sizeof python, f) || pclose(f)) ck_abort_msg("python3 is needed for this test");
    python[strcspn(python, "\n")] = 0;
}

static void oracle(const char *part, const char *const env[])
{
    char expected[600], name[80];
    const char *argv[] = {python, ORACLE, "run", part, expected, NULL};
    snprintf(name, sizeof name, "python-%s", part); /* suites run beside each other */
    recording_begin(&r, name);
    find_python();
    snprintf(expected, sizeof expected, "%s/expected", r.folder);
    recording_run(&r, argv, env);
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    recording_ingest(&r);
}

static void compare(int process, const char *suffix)
{
    char command[4096];
    snprintf(command, sizeof command, "%s %s check %s %s/expected%s %d", python, ORACLE, r.db, r.folder, suffix, process);
    ck_assert_msg(system(command) == 0, "%s", command);
}

static long long lost(const char *reason)
{
    return recording_int(&r, "SELECT ifnull(SUM(count), 0) FROM loss WHERE source = 'python' AND reason = '%s'", reason);
}

static const char *const parts[] = {"part_calls", "part_failures", "part_generators", "part_depth", "part_names", "part_reuse", "part_threads"};

START_TEST(test_every_frame_of)
{
    oracle(parts[_i] + 5, wanted);
    compare(1, "");
    int cut = !strcmp(parts[_i], "part_depth") ? 5 : 0, shortened = !strcmp(parts[_i], "part_names");
    ck_assert_int_eq(lost("depth"), cut);
    ck_assert_int_eq(lost("starting"), 1); /* the event that began the recording */
    ck_assert_int_eq(lost("unreadable") + lost("full"), 0);
    if (shortened) ck_assert_int_gt(lost("cut"), 0); /* a file name of 1200 letters */
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log"), 0);
    recording_end(&r);
}
END_TEST

START_TEST(test_a_forked_child_has_its_own_stacks)
{
    oracle("fork", wanted);
    int child = (int)recording_int(&r, "SELECT process_id FROM allocation WHERE source = 'torch' GROUP BY 1"
                                       " ORDER BY COUNT(*) DESC, 1 DESC LIMIT 1");
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(DISTINCT process_id) FROM allocation WHERE stack_id IS NOT NULL"), 2);
    compare(3 - child, "");
    compare(child, ".child");
    recording_end(&r);
}
END_TEST

/* Threads go on allocating while the interpreter is taken down. */
START_TEST(test_the_end_of_the_interpreter)
{
    oracle("end", wanted);
    ck_assert_int_gt(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE stack_id IS NOT NULL"), 1000);
    recording_end(&r);
}
END_TEST

static void many(const char *count, long long allocations)
{
    char setting[64];
    const char *env[] = {wanted[0], setting, NULL};
    snprintf(setting, sizeof setting, "ORACLE_COUNT=%s", count);
    oracle("million", env);
    long long made = recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = 'torch'"), full = lost("pool_empty");
    ck_assert_int_ge(made + full, allocations + 1);
    ck_assert_int_ge(recording_int(&r, "SELECT COUNT(*) FROM allocation_line WHERE function LIKE '%%leaf'") + full, allocations);
    ck_assert_int_eq(recording_int(&r, "SELECT SUM(bytes) - (SELECT peak_bytes FROM peak_data WHERE series = 'sub') FROM"
                                       " at_peak_line"), 0);
    recording_end(&r);
}

START_TEST(test_many_threads)
{
    many("40000", 40000);
}
END_TEST

START_TEST(test_a_million)
{
    many("1000000", 1000000);
}
END_TEST

START_TEST(test_off_unless_asked_for)
{
    oracle("calls", NULL);
    ck_assert_int_gt(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = 'torch'"), 20);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE stack_id IS NOT NULL"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT (SELECT COUNT(*) FROM frame) + (SELECT COUNT(*) FROM at_peak_line)"), 0);
    recording_check(&r, 0);
    recording_end(&r);
}
END_TEST

/* ---- memory laid out here ---- */

static void images(const char *made, const char *said, const char *rounds, const char *seed)
{
    char name[64];
    const char *argv[] = {"python_images", made, said, rounds, seed, NULL};
    snprintf(name, sizeof name, "python_images_%s_%s_%s", made, said, seed);
    recording_begin(&r, name);
    recording_run(&r, argv, wanted);
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log"), 0);
}

static const char *const versions[] = {"10", "11", "12", "13"};

START_TEST(test_each_version)
{
    images(versions[_i], versions[_i], "0", "1");
    ck_assert_str_eq(r.err, "");
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation a JOIN allocation_line l ON l.allocation_id = a.id"
                                       " WHERE a.bytes = 1024 AND file = 'made.py' AND function = 'inner' AND line = 25"), 3);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM frame WHERE file = 'made.py'"), 2);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM frame f JOIN stack s ON s.frame_id = f.id WHERE"
                                       " function = 'outer' AND line = 12 AND s.parent_id IS NULL"), 1);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE stack_id IS NULL AND bytes > 256"), 1);
    ck_assert_int_eq(lost("starting"), recording_int(&r, "SELECT SUM(count) FROM loss"));
    recording_end(&r);
}
END_TEST

/* Frames that are not as the interpreter's version has them, and versions nobody knows. */
START_TEST(test_wrong_versions)
{
    static const char *const said[] = {"9", "10", "11", "12", "13", "14"};
    for (unsigned i = 0; i < sizeof said / sizeof *said; i++) {
        if (!strcmp(said[i], versions[_i])) continue;
        images(versions[_i], said[i], "40", "1");
        ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE bytes > 256"), 84);
        ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM frame WHERE line IS NOT NULL"), 0);
        if (said[i][0] == '9' || said[i][1] == '4') {
            ck_assert_ptr_nonnull(strstr(r.err, "no Python lines: only CPython 3.10 to 3.13 is known"));
            ck_assert_str_eq(recording_text(&r, "SELECT value FROM setting WHERE name = 'python_lines_off'"),
                             "only CPython 3.10 to 3.13 is known");
        }
        recording_end(&r);
    }
}
END_TEST

static void broken(unsigned version, const char *rounds, const char *seed)
{
    images(versions[version], versions[version], rounds, seed);
    ck_assert_str_eq(r.err, "");
    ck_assert_int_ge(recording_int(&r, "SELECT COUNT(*) FROM allocation a JOIN allocation_line l ON l.allocation_id = a.id"
                                       " WHERE a.bytes = 1024 AND file = 'made.py' AND function = 'inner' AND line = 25"), 1);
    ck_assert_int_gt(lost("unreadable"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT SUM(bytes) - (SELECT peak_bytes FROM peak_data WHERE series = 'sub') FROM"
                                       " at_peak_line"), 0);
    recording_end(&r);
}

START_TEST(test_broken_frames)
{
    broken((unsigned)_i, "6000", "1");
}
END_TEST

START_TEST(test_broken_frames_for_long)
{
    char seed[16];
    for (int i = 0; i < 40; i++) {
        snprintf(seed, sizeof seed, "%d", i);
        broken((unsigned)_i, "50000", seed);
    }
}
END_TEST

static void add_real(Suite *s)
{
    TCase *real = tcase_create("python_real"), *soak = tcase_create("python_soak");
    tcase_set_timeout(real, 120);
    tcase_add_loop_test(real, test_every_frame_of, 0, sizeof parts / sizeof *parts);
    tcase_add_test(real, test_a_forked_child_has_its_own_stacks);
    tcase_add_test(real, test_the_end_of_the_interpreter);
    tcase_add_test(real, test_many_threads);
    tcase_add_test(real, test_off_unless_asked_for);
    suite_add_tcase(s, real);
    tcase_set_timeout(soak, 1200);
    tcase_add_test(soak, test_a_million);
    tcase_add_loop_test(soak, test_broken_frames_for_long, 0, 4);
    tcase_set_tags(soak, "soak");
    suite_add_tcase(s, soak);
}

Suite *make_python_suite(void)
{
    Suite *s = suite_create("python");
    TCase *memory = tcase_create("python_memory");
    tcase_set_timeout(memory, 120);
    tcase_add_loop_test(memory, test_each_version, 0, 4);
    tcase_add_loop_test(memory, test_wrong_versions, 0, 4);
    tcase_add_loop_test(memory, test_broken_frames, 0, 4);
    suite_add_tcase(s, memory);
    if (recording_forks_make_sense()) add_real(s); /* a sanitizer must be there before an interpreter that knows none */
    return s;
}
