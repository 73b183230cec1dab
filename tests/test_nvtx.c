/* SPDX-License-Identifier: MIT
 *
 * test_nvtx.c: NVTX, from programs/nvtx_oracle.c, which is made with NVIDIA's headers and checks what NVTX returns: exact
 * ranges, marks, names and memory regions, nesting across domains, hostile texts, forks. Skipped where those headers are
 * missing (the program says so with status 77).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "log_reader.h"
#include "recording.h"

Suite *make_nvtx_suite(void);

static struct recording r;
static struct log *l;

/* false: no NVTX headers here. */
static bool oracle(const char *mode, const char *n, const char *m)
{
    const char *argv[] = {"nvtx_oracle", mode, n, m, NULL};
    char name[64];
    snprintf(name, sizeof name, "nvtx_%s_%s", mode, n ? n : "");
    recording_begin(&r, name);
    recording_run(&r, argv, NULL);
    if (WIFEXITED(r.status) && WEXITSTATUS(r.status) == 77) {
        fprintf(stderr, "nvtx: %s skipped, no NVTX headers\n", mode);
        return false;
    }
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    ck_assert_str_eq(r.err, "");
    l = log_open(r.run);
    ck_assert_ptr_nonnull(l);
    ck_assert_uint_eq(l->damaged, 0);
    return true;
}

static void done(void)
{
    log_close(l);
    recording_end(&r);
}

static const struct vs_rec_range_begin *begin(size_t n)
{
    const struct vs_rec_range_begin *b = log_nth(l, VS_K_RANGE_BEGIN, n);
    ck_assert_ptr_nonnull(b);
    return b;
}

static const char *begin_text(size_t n)
{
    static char text[4096];
    const struct vs_rec_range_begin *b = begin(n);
    snprintf(text, sizeof text, "%.*s", (int)b->text_bytes, b->text);
    return text;
}

static const char *string_text(uint64_t id)
{
    static char text[16384];
    size_t i, n = log_count(l, VS_K_STRING);
    text[0] = 0;
    for (i = 0; i < n; i++) {
        const struct vs_rec_string *s = log_nth(l, VS_K_STRING, i);
        if (s->id == id)
            snprintf(text + s->offset, sizeof text - s->offset, "%.*s", (int)s->bytes, s->text);
    }
    return text;
}

/* The RANGE_END of a begin; NULL: still open. */
static const struct vs_rec_range_end *end_of(uint64_t seq)
{
    size_t i, n = log_count(l, VS_K_RANGE_END);
    for (i = 0; i < n; i++) {
        const struct vs_rec_range_end *e = log_nth(l, VS_K_RANGE_END, i);
        if (e->begin == seq)
            return e;
    }
    return NULL;
}

static void expect_ends(size_t count)
{
    size_t i;
    ck_assert_uint_eq(log_count(l, VS_K_RANGE_BEGIN), count);
    ck_assert_uint_eq(log_count(l, VS_K_RANGE_END), count);
    for (i = 0; i < count; i++) {
        const struct vs_rec_range_end *e = end_of(begin(i)->seq);
        ck_assert_ptr_nonnull(e);
        ck_assert_uint_ge(e->ts_ns, begin(i)->ts_ns);
    }
}

START_TEST(test_seven_ranges)
{
    static const char *const names[] = {"outer",     "inner", "in domain", "w\303\257de \xe4\xb8\xad\xf0\x9f\x98\x80",
                                        "crossing threads", "second", "in domain"};
    size_t i;
    if (!oracle("ranges", NULL, NULL))
        return;
    expect_ends(7);
    for (i = 0; i < 7; i++)
        ck_assert_str_eq(begin_text(i), names[i]);
    ck_assert_uint_eq(begin(0)->parent, 0);
    ck_assert_uint_eq(begin(1)->parent, begin(0)->seq);
    ck_assert_uint_eq(begin(2)->parent, begin(1)->seq); /* innermost of any domain */
    ck_assert_uint_eq(begin(3)->parent, begin(1)->seq);
    ck_assert_uint_eq(begin(4)->h.flags, VS_RF_START_END);
    ck_assert_uint_eq(begin(5)->h.flags, 0);
    ck_assert_uint_eq(begin(5)->parent, 0);
    ck_assert_uint_eq(begin(6)->h.flags, VS_RF_START_END);
    ck_assert_uint_ne(begin(2)->domain, 0);
    ck_assert_uint_eq(begin(2)->domain, begin(6)->domain);
    ck_assert_uint_eq(log_count(l, VS_K_MARK), 3);
    ck_assert_uint_eq(((const struct vs_rec_mark *)log_nth(l, VS_K_MARK, 0))->range, begin(2)->seq);
    ck_assert_uint_eq(((const struct vs_rec_mark *)log_nth(l, VS_K_MARK, 1))->range, begin(3)->seq);
    ck_assert_uint_eq(((const struct vs_rec_mark *)log_nth(l, VS_K_MARK, 2))->range, begin(5)->seq);
    done();
}
END_TEST

START_TEST(test_strings_and_names)
{
    const struct vs_rec_nvtx_name *n;
    if (!oracle("strings", NULL, NULL))
        return;
    expect_ends(6);
    ck_assert_uint_eq(log_count(l, VS_K_STRING), 2); /* registered twice, stored once */
    ck_assert_str_eq(string_text(begin(0)->string), "registered");
    ck_assert_uint_eq(begin(0)->string, begin(1)->string);
    ck_assert_str_eq(string_text(begin(2)->string), "registered \xe4\xb8\xad");
    ck_assert_uint_eq(begin(0)->category, 8);
    ck_assert_uint_eq(begin(1)->category, 7);
    ck_assert_uint_eq(begin(1)->color, 0xff123456u);
    ck_assert_uint_eq(begin(3)->string, 0); /* the short attributes have no message */
    ck_assert_uint_eq(begin(3)->color, 0xff123456u);
    ck_assert_uint_eq(begin(3)->text_bytes, 0);
    ck_assert_str_eq(begin_text(5), "popped with a payload");
    ck_assert_uint_eq(log_count(l, VS_K_NVTX_NAME), 5);
    n = log_nth(l, VS_K_NVTX_NAME, 0);
    ck_assert_uint_eq(n->h.flags, VS_NN_DOMAIN);
    ck_assert(n->text_bytes == 6 && !memcmp(n->text, "oracle", 6));
    n = log_nth(l, VS_K_NVTX_NAME, 2);
    ck_assert_uint_eq(n->h.flags, VS_NN_CATEGORY);
    ck_assert_uint_eq(n->id, 7);
    ck_assert_uint_eq(n->domain, begin(0)->domain);
    n = log_nth(l, VS_K_NVTX_NAME, 4);
    ck_assert_uint_eq(n->h.flags, VS_NN_THREAD);
    done();
}
END_TEST

START_TEST(test_pops_close_only_their_own)
{
    if (!oracle("pops", NULL, NULL))
        return;
    expect_ends(3);
    ck_assert_uint_lt(end_of(begin(0)->seq)->seq, end_of(begin(1)->seq)->seq);
    ck_assert_uint_eq(((const struct vs_rec_mark *)log_nth(l, VS_K_MARK, 0))->range, begin(1)->seq);
    ck_assert_uint_eq(((const struct vs_rec_mark *)log_nth(l, VS_K_MARK, 1))->range, 0);
    done();
}
END_TEST

START_TEST(test_deep_nesting_is_counted)
{
    static const int depths[] = {47, 48, 49, 130};
    char text[16];
    int n = depths[_i];
    size_t followed = (size_t)(n < 48 ? n : 48), i;
    snprintf(text, sizeof text, "%d", n);
    if (!oracle("deep", text, NULL))
        return;
    expect_ends(followed + 1); /* and the range afterwards */
    ck_assert_uint_eq(log_lost(l, VS_SRC_NVTX, VS_LOST_DEPTH), (uint64_t)n - followed);
    for (i = 1; i < followed; i++)
        ck_assert_uint_eq(begin(i)->parent, begin(i - 1)->seq);
    ck_assert_uint_eq(((const struct vs_rec_mark *)log_nth(l, VS_K_MARK, 0))->range, begin(followed - 1)->seq);
    ck_assert_uint_eq(((const struct vs_rec_mark *)log_nth(l, VS_K_MARK, 1))->range, 0);
    done();
}
END_TEST

START_TEST(test_hostile_texts)
{
    size_t i;
    const struct vs_rec_string *last;
    if (!oracle("hostile", NULL, NULL))
        return;
    expect_ends(11);
    ck_assert_str_eq(begin_text(0), "new\nline");
    ck_assert_str_eq(begin_text(1), "'single' \"double\" `back`");
    ck_assert_str_eq(begin_text(2), "\xff\xfe invalid \xc3");
    for (i = 4; i < 7; i++)
        ck_assert_str_eq(begin_text(i), "");
    ck_assert_uint_gt(begin(7)->text_bytes, 1900);
    ck_assert_uint_eq(begin(8)->text_bytes % 3, 0); /* cut between characters */
    ck_assert_uint_eq(begin(9)->text_bytes % 3, 0);
    ck_assert_str_eq(begin_text(10), "a\xef\xbf\xbd\xef\xbf\275b");
    ck_assert_uint_eq(log_lost(l, VS_SRC_NVTX, VS_LOST_CUT), 6);
    last = log_nth(l, VS_K_STRING, log_count(l, VS_K_STRING) - 1);
    ck_assert_uint_eq(last->offset + last->bytes, 10240);
    ck_assert_uint_eq(strlen(string_text(last->id)), 10240);
    done();
}
END_TEST

START_TEST(test_threads)
{
    uint64_t lost;
    if (!oracle("threads", "8", "2000"))
        return;
    lost = log_lost(l, VS_SRC_NVTX, VS_LOST_POOL_EMPTY);
    ck_assert_uint_le(log_count(l, VS_K_RANGE_BEGIN) + log_count(l, VS_K_RANGE_END) + lost, 32000);
    if (!lost)
        ck_assert_uint_eq(log_count(l, VS_K_RANGE_BEGIN), 16000);
    done();
}
END_TEST

START_TEST(test_regions)
{
    const struct vs_rec_region *g;
    const struct vs_rec_region_name *n;
    uint64_t block;
    if (!oracle("regions", NULL, NULL))
        return;
    ck_assert_uint_eq(log_count(l, VS_K_REGION), 5); /* heap, 3 regions, 1 resize */
    ck_assert_uint_eq(log_count(l, VS_K_REGION_NAME), 3);
    ck_assert_uint_eq(log_count(l, VS_K_REGION_FREE), 4);
    g = log_nth(l, VS_K_REGION, 0);
    block = g->address;
    ck_assert_uint_eq(g->h.flags, VS_RG_HEAP);
    ck_assert_uint_eq(g->bytes, 4096);
    ck_assert_uint_eq(g->range, begin(0)->seq);
    g = log_nth(l, VS_K_REGION, 3);
    ck_assert_uint_eq(g->address, block + 2048);
    ck_assert_uint_eq(g->heap, block);
    ck_assert_uint_eq(g->bytes, 64);
    g = log_nth(l, VS_K_REGION, 4);
    ck_assert_uint_eq(g->h.flags, VS_RG_RESIZE);
    ck_assert_uint_eq(g->bytes, 128);
    n = log_nth(l, VS_K_REGION_NAME, 1);
    ck_assert_uint_eq(n->address, block);
    ck_assert(n->text_bytes == 18 && !memcmp(n->text, "activation/layer 0", 18));
    n = log_nth(l, VS_K_REGION_NAME, 2);
    ck_assert_uint_eq(n->address, block + 512);
    ck_assert_str_eq(string_text(n->string), "weight");
    ck_assert_uint_eq(((const struct vs_rec *)log_nth(l, VS_K_REGION_FREE, 0))->flags, 0);
    ck_assert_uint_eq(((const struct vs_rec *)log_nth(l, VS_K_REGION_FREE, 3))->flags, VS_RG_HEAP);
    ck_assert_uint_eq(log_lost(l, VS_SRC_NVTX, VS_LOST_UNKNOWN), 1);
    done();
}
END_TEST

START_TEST(test_children_know_what_they_inherited)
{
    size_t i, begins = 0, ends = 0, names = 0, texts = 0;
    if (!oracle("fork", NULL, NULL))
        return;
    ck_assert_uint_eq(l->processes, 3); /* the program, its child by fork, its child by a raw clone */
    for (i = 0; i < l->count; i++) {
        const struct vs_rec *rec = l->at[i].rec;
        begins += rec->kind == VS_K_RANGE_BEGIN;
        ends += rec->kind == VS_K_RANGE_END;
        names += rec->kind == VS_K_NVTX_NAME;
        texts += rec->kind == VS_K_STRING && ((const struct vs_rec_string *)(const void *)rec)->bytes == 16;
        if (rec->kind == VS_K_RANGE_BEGIN && ((const struct vs_rec_range_begin *)(const void *)rec)->domain)
            ck_assert_uint_ne(((const struct vs_rec_range_begin *)(const void *)rec)->string, 0);
    }
    ck_assert_uint_eq(begins, 4);
    ck_assert_uint_eq(ends, 4);
    ck_assert_uint_eq(names, 3); /* "inherited domain" in each log */
    ck_assert_uint_eq(texts, 3); /* "inherited string" likewise */
    done();
}
END_TEST

START_TEST(test_database_has_ranges)
{
    if (!oracle("ranges", "db", NULL))
        return;
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM range"), 7);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM range WHERE end_ns IS NULL"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM range WHERE kind = 'start'"), 2);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM range WHERE domain = 'oracle'"), 2);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM mark"), 3);
    ck_assert_int_eq(recording_int(&r, "SELECT MAX(depth) FROM range WHERE kind = 'push'"), 2);
    done();
}
END_TEST

START_TEST(test_database_has_regions)
{
    if (!oracle("regions", "db", NULL))
        return;
    recording_ingest(&r);
    recording_check(&r, 1); /* the heap of an unknown kind */
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE free_ts_ns IS NULL"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation a JOIN string s ON s.id = a.name_id "
                                       "WHERE s.text = 'activation/layer 0'"), 1);
    done();
}
END_TEST

START_TEST(test_abi_is_nvidias)
{
    const char *argv[] = {"nvtx_abi", NULL};
    recording_begin(&r, "nvtx_abi");
    recording_run(&r, argv, NULL);
    ck_assert(WIFEXITED(r.status) && (WEXITSTATUS(r.status) == 0 || WEXITSTATUS(r.status) == 77));
    recording_end(&r);
}
END_TEST

Suite *make_nvtx_suite(void)
{
    Suite *s = suite_create("nvtx");
    TCase *log = tcase_create("nvtx_log"), *database = tcase_create("nvtx_database");
    tcase_set_timeout(log, 60);
    tcase_set_timeout(database, 60);
    tcase_add_test(log, test_abi_is_nvidias);
    tcase_add_test(log, test_seven_ranges);
    tcase_add_test(log, test_strings_and_names);
    tcase_add_test(log, test_pops_close_only_their_own);
    tcase_add_loop_test(log, test_deep_nesting_is_counted, 0, 4);
    tcase_add_test(log, test_hostile_texts);
    tcase_add_test(log, test_threads);
    tcase_add_test(log, test_regions);
    if (recording_forks_make_sense())
        tcase_add_test(log, test_children_know_what_they_inherited);
    tcase_add_test(database, test_database_has_ranges);
    tcase_add_test(database, test_database_has_regions);
    suite_add_tcase(s, log);
    suite_add_tcase(s, database);
    return s;
}
