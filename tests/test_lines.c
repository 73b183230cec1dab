/* SPDX-License-Identifier: MIT
 *
 * test_lines.c: from records of code objects and stacks to rows: line tables as real interpreters made them, whose code a
 * file is, records in any order or broken, sums at the peak.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../db/lines.h"
#include "ingest_case.h"

Suite *make_lines_suite(void);

static struct ingest_case c;

static void set_up(void)
{
    case_make(&c);
}
static void tear_down(void)
{
    case_remove(&c);
}

/* ---- line tables ---- */

struct span {
    uint32_t begin, end, line; /* bytes of code, its line; 0: none */
};

static void check_table(enum vs_line_table encoding, const unsigned char *table, size_t bytes, const struct span *spans,
                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (uint32_t at = spans[i].begin; at < spans[i].end; at += 2)
            ck_assert_uint_eq(vs_line_of(encoding, table, bytes, 1, at), spans[i].line);
    ck_assert_uint_eq(vs_line_of(encoding, table, bytes, 1, spans[n - 1].end), 0);
    /* a shorter table says less, and nothing else; of heap memory, so that a sanitizer sees a read beyond it */
    for (size_t cut = 0; cut < bytes; cut++) {
        unsigned char *part = malloc(cut + !cut);
        memcpy(part, table, cut);
        for (uint32_t at = 0; at < spans[n - 1].end; at += 2) {
            uint32_t line = vs_line_of(encoding, part, cut, 1, at);
            ck_assert_uint_le(line, encoding == VS_LT_PAIRS ? 400 : UINT32_MAX);
        }
        free(part);
    }
}

/* One function: a call over two lines, a comprehension, try and finally. The bytes are co_linetable of each version. */
START_TEST(test_line_tables)
{
    static const unsigned char of_310[] = {0x0a, 0x02, 0x02, 0x01, 0x06, 0xff, 0x02, 0x02,
                                           0x02, 0x01, 0x02, 0x01, 0x04, 0xff, 0x14, 0x03};
    static const struct span in_310[] = {{0, 10, 3},  {10, 12, 4}, {12, 18, 3}, {18, 20, 5},
                                         {20, 22, 6}, {22, 24, 7}, {24, 28, 6}, {28, 48, 9}};
    static const unsigned char of_311[] = {
        0xf8, 0x80, 0x00, 0xf0, 0x04, 0x01, 0x09, 0x15, 0xf0, 0x00, 0x01, 0x09, 0x15, 0xf0, 0x00, 0x01, 0x09, 0x15,
        0xf0, 0x00, 0x01, 0x09, 0x15, 0xd8, 0x12, 0x13, 0xf0, 0x03, 0x01, 0x09, 0x15, 0xf1, 0x00, 0x01, 0x09, 0x15,
        0xf4, 0x00, 0x01, 0x09, 0x15, 0x80, 0x41, 0xf0, 0x04, 0x04, 0x05, 0x11, 0xd8, 0x10, 0x11, 0xd8, 0x10, 0x11,
        0xf1, 0x03, 0x01, 0x11, 0x12, 0xf5, 0x06, 0x00, 0x09, 0x0e, 0x88, 0x61, 0x89, 0x08, 0x8c, 0x08, 0x88, 0x08,
        0x88, 0x08, 0xf8, 0x8d, 0x05, 0x88, 0x61, 0x89, 0x08, 0x8c, 0x08, 0x88, 0x08, 0x88, 0x08, 0xf8, 0xf8, 0xf8};
    static const struct span in_311[] = {{0, 2, 0},   {2, 4, 1},   {4, 12, 3},   {12, 14, 4}, {14, 32, 3},
                                         {32, 34, 5}, {34, 36, 6}, {36, 38, 7},  {38, 42, 6}, {42, 74, 9},
                                         {74, 76, 0}, {76, 108, 9}, {108, 114, 0}};
    static const unsigned char of_313[] = {
        0x80, 0x00, 0xf1, 0x06, 0x00, 0x13, 0x14, 0xf3, 0x03, 0x01, 0x09, 0x15, 0xd9, 0x12, 0x13, 0x88, 0x51, 0xf3, 0x03, 0x00,
        0x0a, 0x0b, 0xd9, 0x12, 0x13, 0xf0, 0x03, 0x00, 0x05, 0x06, 0xf0, 0x00, 0x01, 0x09, 0x15, 0xf0, 0x04, 0x04, 0x05, 0x11,
        0xd8, 0x10, 0x11, 0xd8, 0x10, 0x11, 0xf1, 0x03, 0x01, 0x11, 0x12, 0xf4, 0x06, 0x00, 0x09, 0x0e, 0x88, 0x61, 0x8d, 0x08,
        0xf9, 0xf2, 0x0d, 0x01, 0x09, 0x15, 0xf8, 0xf4, 0x0c, 0x00, 0x09, 0x0e, 0x88, 0x61, 0x8d, 0x08, 0xfa};
    static const struct span in_313[] = {{0, 2, 1},   {2, 6, 4},   {6, 14, 3},  {14, 20, 4}, {20, 28, 3}, {28, 32, 4},
                                         {32, 36, 3}, {36, 38, 5}, {38, 40, 6}, {40, 42, 7}, {42, 46, 6}, {46, 70, 9},
                                         {70, 74, 0}, {74, 80, 3}, {80, 82, 0}, {82, 106, 9}, {106, 112, 0}};
#define CHECK(encoding, version)                                                                                       \
    check_table(encoding, of_##version, sizeof of_##version, in_##version, sizeof in_##version / sizeof *in_##version)
    CHECK(VS_LT_PAIRS, 310);
    CHECK(VS_LT_LOCATIONS, 311);
    CHECK(VS_LT_LOCATIONS, 313);
    ck_assert_uint_eq(vs_line_of((enum vs_line_table)0, of_313, sizeof of_313, 1, 0), 0);
    ck_assert_uint_eq(vs_line_of(VS_LT_LOCATIONS, of_311 + 1, sizeof of_311 - 1, 1, 0), 1);
    ck_assert_uint_eq(vs_line_of(VS_LT_LOCATIONS, of_313 + 1, 4, 1, 0), 0); /* begins in the middle of a location */
}
END_TEST

START_TEST(test_whose_code_it_is)
{
    static const char *const library[] = {
        "/usr/lib/python3.11/asyncio/base_events.py", "/opt/conda/lib/python3.12/threading.py", "<frozen runpy>",
        "/home/me/.venv/lib/python3.10/site-packages/torch/nn/modules/module.py", "<eval_with_key>.12",
        "/usr/lib/python3/dist-packages/numpy/core/numeric.py", "/src/pytorch/torch/nn/modules/linear.py",
        "/src/pytorch/torch/_ops.py", "/tmp/torchinductor_me/ab/cabcdef.py", "/usr/lib/python311.zip/os.py"};
    static const char *const own[] = {"train.py", "/home/me/torch/train.py", "/home/me/project/models/llama.py", "<string>",
                                      "<stdin>", "", "/home/me/lib/python3", "/data/site-packages.py", "/work/torch.py"};
    for (size_t i = 0; i < sizeof library / sizeof *library; i++)
        ck_assert_msg(vs_line_is_library(library[i]), "%s", library[i]);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) ck_assert_msg(!vs_line_is_library(own[i]), "%s", own[i]);
}
END_TEST

/* ---- records ---- */

static const unsigned char flat[] = {0x80 | 13 << 3 | 7, 0, 0x80 | 13 << 3 | 7, 2, 0x80 | 13 << 3 | 7, 2}; /* 16 bytes each */

static void put_code(struct vs_log_writer *w, unsigned thread, uint32_t number, const char *file, const char *function,
                     uint32_t line)
{
    size_t f = strlen(file), n = strlen(function);
    struct vs_rec_code *r = vs_log_writer_add(w, thread, VS_K_CODE, sizeof *r + f + n + sizeof flat, VS_LT_LOCATIONS, -1);
    r->code = number;
    r->first_line = line;
    r->table_bytes = r->table_part = sizeof flat;
    r->file_bytes = (uint16_t)f;
    r->function_bytes = (uint16_t)n;
    memcpy(r->text, file, f);
    memcpy(r->text + f, function, n);
    memcpy(r->text + f + n, flat, sizeof flat);
}

static void put_stack(struct vs_log_writer *w, unsigned thread, uint32_t number, bool cut, uint32_t n, const uint32_t *codes)
{
    struct vs_rec_stack *r = vs_log_writer_add(w, thread, VS_K_STACK, sizeof *r + n * sizeof *r->frame, cut, -1);
    r->stack = number;
    r->frames = n;
    for (uint32_t i = 0; i < n; i++) r->frame[i] = (struct vs_stack_frame){codes[i] & 0xffff, codes[i] >> 16};
}
#define CODES(...) (uint32_t)(sizeof((uint32_t[]){__VA_ARGS__}) / 4), (uint32_t[]){__VA_ARGS__}
#define AT(code, offset) ((uint32_t)(code) | (uint32_t)(offset) << 16)

static void put_torch(struct vs_log_writer *w, unsigned thread, uint64_t address, int64_t bytes, int64_t stack, uint64_t ts)
{
    struct vs_rec_torch *r = vs_log_writer_add(w, thread, VS_K_TORCH, sizeof *r + (stack >= 0 ? 8 : 0),
                                               stack >= 0 ? VS_TORCH_STACK : 0, 0);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->address = address;
    r->bytes = bytes;
    if (stack >= 0) r->stack[0] = (uint64_t)stack;
}

static void put_thread(struct vs_log_writer *w, unsigned thread, const char *name)
{
    struct vs_rec_thread *r = vs_log_writer_add(w, thread, VS_K_THREAD, sizeof *r, 0, -1);
    r->thread = thread;
    r->tid = 100 + thread;
    snprintf(r->name, sizeof r->name, "%s", name);
}

#define LINES                                                                                                          \
    "SELECT bytes || ':' || ifnull(file, '-') || ':' || ifnull(function, '-') || ':' || ifnull(line, '-') FROM "       \
    "allocation a LEFT JOIN allocation_line l ON l.allocation_id = a.id ORDER BY a.id"

static void program(struct vs_log_writer *w, bool stacks_first)
{
    uint64_t at = 0x1000;
    put_thread(w, 1, "python");
    put_thread(w, 2, "pt_autograd_0");
    for (int turn = 0; turn < 2; turn++) {
        if (turn == stacks_first) {
            put_code(w, 1, 1, "train.py", "main", 10);
            put_code(w, 1, 2, "/v/site-packages/torch/nn/modules/module.py", "Module.__call__", 100);
            put_code(w, 2, 3, "models/llama.py", "Block.forward", 50);
            put_code(w, 2, 4, "/v/site-packages/torch/nn/functional.py", "linear", 200);
        } else {
            put_stack(w, 1, 1, false, CODES(AT(4, 0), AT(3, 16), AT(2, 0), AT(1, 32)));
            put_stack(w, 1, 2, false, CODES(AT(4, 0), AT(2, 0)));
            put_stack(w, 2, 3, true, CODES(AT(3, 0), AT(3, 32)));
            put_stack(w, 1, 4, false, CODES(AT(0, 0), AT(1, 400)));
        }
    }
    put_torch(w, 1, at += 0x10000, 1000, 1, 2000);
    put_torch(w, 1, at += 0x10000, 2000, 2, 2001);
    put_torch(w, 2, at += 0x10000, 3000, 3, 2002);
    put_torch(w, 2, at += 0x10000, 4000, 0, 2003);
    put_torch(w, 1, at += 0x10000, 5000, 0, 2004);
    put_torch(w, 1, at += 0x10000, 6000, -1, 2005);
    put_torch(w, 1, at += 0x10000, 7000, 4, 2006);
    put_torch(w, 1, at += 0x10000, 8000, 99, 2007); /* whose record never came */
    put_torch(w, 1, 0x11000, -1000, -1, 2008);
    put_torch(w, 1, 0x31000, -3000, -1, 2009);
}

START_TEST(test_lines_of_allocations)
{
    struct vs_log_writer *w = case_writer(&c, 1);
    program(w, _i);
    vs_log_writer_close(w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    case_balanced(c.db);
    char *lines = case_text(c.db, LINES);
    ck_assert_str_eq(lines, "1000:models/llama.py:Block.forward:51,2000:/v/site-packages/torch/nn/functional.py:linear:200,"
                            "3000:models/llama.py:Block.forward:50,4000:-:backward:-,5000:-:-:-,6000:-:-:-,"
                            "7000:train.py:main:-,8000:-:-:-");
    free(lines);
    ck_sql(c.db, "SELECT COUNT(*) FROM frame WHERE library", 3); /* module.py, functional.py, the unknown one */
    ck_sql(c.db, "SELECT COUNT(*) FROM stack WHERE frame_id IS NULL AND parent_id IS NULL", 1);
    ck_sql(c.db, "WITH RECURSIVE up(id, n) AS (SELECT stack_id, 1 FROM allocation WHERE bytes = 1000 UNION ALL SELECT"
                 " s.parent_id, n + 1 FROM up JOIN stack s ON s.id = up.id WHERE s.parent_id IS NOT NULL)"
                 " SELECT group_concat(f.line, '') FROM (SELECT id, n FROM up ORDER BY n) u JOIN stack s ON s.id = u.id"
                 " JOIN frame f ON f.id = s.frame_id", 2005110012);
    /* all were live at the peak, also those that were freed after it */
    ck_sql(c.db, "SELECT SUM(bytes) FROM at_peak_line", 36000);
    ck_sql(c.db, "SELECT SUM(bytes) FROM line_at_peak WHERE file = 'models/llama.py'", 4000);
    ck_sql(c.db, "SELECT SUM(bytes) FROM line_at_peak WHERE function = 'backward' AND file IS NULL", 4000);
    ck_sql(c.db, "SELECT SUM(bytes) FROM line_at_peak WHERE function IS NULL", 19000);
}
END_TEST

/* The sums at the peak are those of a scan, whatever came and went. Read in steps, they stay so. */
START_TEST(test_sums_at_the_peak)
{
    static const char slowly[] =
        "SELECT COUNT(*) FROM (SELECT a.stack_id AS s, SUM(a.bytes) AS b, COUNT(*) AS n FROM allocation a JOIN peak_data d"
        " ON d.process_id = a.process_id AND d.device = a.device AND d.series = 'sub' WHERE a.alloc_ts_ns <= d.peak_ts_ns"
        " AND (a.free_ts_ns IS NULL OR a.free_ts_ns > d.peak_ts_ns) GROUP BY 1) x LEFT JOIN at_peak_line l"
        " ON l.stack_id IS x.s AND l.bytes = x.b AND l.count = x.n WHERE l.bytes IS NULL";
    static const uint32_t one = 1;
    struct vs_log_writer *w = case_writer(&c, 1);
    uint64_t state = 12345, live[400] = {0}, ts = 2000;
    put_code(w, 1, 1, "a.py", "f", 1);
    for (uint32_t s = 1; s <= 40; s++) put_stack(w, 1, s, false, 1, &one);
    for (int i = 0; i < 30000; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        unsigned k = (unsigned)(state >> 40) % 400;
        uint64_t address = 0x100000 + k * 0x100000ull;
        int64_t bytes = 1 + (int64_t)(state >> 20 & 0xfffff);
        if (live[k]) put_torch(w, 1, address, -(int64_t)live[k], -1, ts++);
        else put_torch(w, 1, address, bytes, (int64_t)(state >> 33) % 41, ts++);
        live[k] = live[k] ? 0 : (uint64_t)bytes;
        if (i == 15000 && _i) {
            vs_log_writer_flush(w);
            case_ingest(&c, c.db);
        }
    }
    vs_log_writer_close(w, VS_WRITER_EXIT);
    if (!_i) {
        case_ingest(&c, c.db);
    } else { /* into the one that is there */
        struct vs_ingest *in = NULL;
        struct vs_error e;
        ck_assert_int_eq(vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e), 0);
        ck_assert_int_eq(vs_ingest_finish(in, c.run, 1, &e), 0);
        vs_ingest_close(in);
    }
    ck_sql(c.db, slowly, 0);
    ck_sql(c.db, "SELECT SUM(bytes) - (SELECT peak_bytes FROM peak_data WHERE series = 'sub') FROM at_peak_line", 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM stack", 40);
}
END_TEST

/* Nothing in a record is believed: numbers twice, parts out of order, lengths beyond the record. */
START_TEST(test_hostile_records)
{
    struct vs_log_writer *w = case_writer(&c, 1);
    struct vs_rec_code *r;
    struct vs_rec_stack *s;
    struct vs_rec_torch *t;
    put_code(w, 1, 1, "good.py", "f", 7);
    put_code(w, 1, 1, "again.py", "g", 9);
    r = vs_log_writer_add(w, 1, VS_K_CODE, sizeof *r + 8, 77, -1); /* lengths beyond it */
    r->code = 2;
    r->file_bytes = r->function_bytes = 60000;
    r = vs_log_writer_add(w, 1, VS_K_CODE, sizeof *r + 16, VS_LT_LOCATIONS, -1);
    r->code = 3;
    r->file_bytes = 4;
    memcpy(r->text, "a\0\xff'", 4);
    r->table_bytes = UINT32_MAX;
    r->table_part = 60000;
    r = vs_log_writer_add(w, 1, VS_K_CODE, sizeof *r + 16, VS_LT_LOCATIONS, -1);
    r->code = 3;
    r->table_at = 5; /* not where the last part ended */
    r->table_part = 16;
    r = vs_log_writer_add(w, 1, VS_K_CODE, sizeof *r + 16, VS_LT_LOCATIONS, -1);
    r->code = 4;
    r->table_at = 16; /* without a begin */
    s = vs_log_writer_add(w, 1, VS_K_STACK, sizeof *s + 16, 0, -1);
    s->stack = 1;
    s->frames = UINT32_MAX;
    s->frame[0] = (struct vs_stack_frame){1, UINT32_MAX};
    s->frame[1] = (struct vs_stack_frame){3, 0};
    s = vs_log_writer_add(w, 1, VS_K_STACK, sizeof *s, 0, -1);
    s->stack = 2;
    put_stack(w, 1, 1, false, CODES(AT(1, 0)));
    put_stack(w, 1, 3, false, CODES(AT(2, 0), AT(4, 0)));
    put_stack(w, 1, UINT32_MAX, false, CODES(AT(1, 0)));
    put_stack(w, 1, 0, false, CODES(AT(1, 0)));
    for (int i = 0; i < 6; i++) put_torch(w, 1, 0x10000u * (1 + (uint64_t)i), 1000 + i, i, 2000 + (uint64_t)i);
    put_torch(w, 1, 0x90000, 2000, INT64_MAX, 3000);
    put_torch(w, 1, 0xa0000, 2001, UINT32_MAX, 3001);
    t = vs_log_writer_add(w, 1, VS_K_TORCH, sizeof *t, VS_TORCH_STACK, 0); /* said to follow, and does not */
    t->seq = vs_log_writer_seq(w);
    t->ts_ns = 3002;
    t->address = 0xb0000;
    t->bytes = 2002;
    vs_log_writer_close(w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    case_balanced(c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 9);
    ck_sql(c.db, "SELECT COUNT(*) FROM frame WHERE file = 'good.py' AND function = 'f' AND line IS NULL", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM frame WHERE file = 'again.py'", 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation_line WHERE file = 'good.py'", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation WHERE stack_id >= 4294967295", 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM stack WHERE parent_id IS NOT NULL AND parent_id NOT IN (SELECT id FROM stack)", 0);
    ck_sql(c.db, "SELECT SUM(bytes) - (SELECT peak_bytes FROM peak_data WHERE series = 'sub') FROM at_peak_line", 0);
}
END_TEST

Suite *make_lines_suite(void)
{
    Suite *s = suite_create("lines");
    TCase *tables = tcase_create("lines_tables"), *records = tcase_create("lines_records");
    tcase_add_test(tables, test_line_tables);
    tcase_add_test(tables, test_whose_code_it_is);
    suite_add_tcase(s, tables);
    tcase_add_checked_fixture(records, set_up, tear_down);
    tcase_set_timeout(records, 60);
    tcase_add_loop_test(records, test_lines_of_allocations, 0, 2);
    tcase_add_loop_test(records, test_sums_at_the_peak, 0, 2);
    tcase_add_test(records, test_hostile_records);
    suite_add_tcase(s, records);
    return s;
}
