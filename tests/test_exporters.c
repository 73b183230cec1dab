/* SPDX-License-Identifier: MIT
 *
 * test_exporters.c: text made visible, and rows in every format through the exporters themselves.
 */
#include <check.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "../exporters/exporter.h"
#include "../exporters/visible.h"

Suite *make_exporters_suite(void);

static const struct {
    const char *text;
    unsigned limit;
    const char *shown;
    unsigned columns;
} texts[] = {
    {"", 0, "", 0},
    {"plain", 0, "plain", 5},
    {"a\nb\tc\rd", 0, "a\\nb\\tc\\rd", 10},
    {"\033[2J", 0, "\\x1b[2J", 7},
    {"\177\302\205", 0, "\\x7f\\u0085", 10},                /* DEL, and a C1 control in UTF-8 */
    {"\342\200\256evil", 0, "\\u202eevil", 10},             /* right-to-left override */
    {"\377\300\200z", 0, "\\xff\\xc0\\x80z", 13},           /* not UTF-8; an overlong zero */
    {"\355\240\200", 0, "\\xed\\xa0\\x80", 12},             /* a surrogate */
    {"\345\211\215\345\220\221", 0, "\345\211\215\345\220\221", 4},
    {"e\314\201", 0, "e\314\201", 1},                       /* a combining accent takes no column */
    {"abcdef", 6, "abcdef", 6},
    {"abcdefg", 6, "abcde\342\200\246", 6},
    {"\345\211\215\345\220\221\345\211\215", 4, "\345\211\215\342\200\246", 3},
    {"abc\033d", 5, "abc\342\200\246", 4},                  /* an escape is shown whole or not at all */
    {"\345\211", 0, "\\xe5\\x89", 8},                       /* cut inside a character */
};

START_TEST(test_visible)
{
    char out[256];
    ck_assert_uint_eq(vs_visible(texts[_i].text, strlen(texts[_i].text), texts[_i].limit, out, sizeof out), texts[_i].columns);
    ck_assert_str_eq(out, texts[_i].shown);
}
END_TEST

START_TEST(test_visible_fits_any_buffer)
{
    const char text[] = "\345\211\215\033\377abc\345\220\221";
    char out[64];
    size_t room;
    for (room = 1; room < sizeof out; room++) {
        memset(out, 'X', sizeof out);
        vs_visible(text, sizeof text - 1, 0, out, room);
        ck_assert_uint_lt(strnlen(out, sizeof out), room);
        ck_assert_int_eq(out[room], 'X');
    }
}
END_TEST

static char *export_rows(const char *format, const char *sql, int *result, struct vs_error *e)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    *result = vs_export_rows(vs_exporter_find(format), db, q, out, e);
    fclose(out);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return text;
}

static const struct {
    const char *format, *sql, *text;
} exports[] = {
    {"csv", "SELECT 1 AS \"a,b\", 'x' AS c", "\"a,b\",c\n1,x\n"},
    {"csv", "SELECT 'a' || char(13) AS r, NULL AS n, '' AS e", "r,n,e\n\"a\r\",,\"\"\n"},
    {"csv", "SELECT '\"' AS q", "q\n\"\"\"\"\n"},
    {"csv", "SELECT 1 AS a WHERE 0", "a\n"},
    {"json", "SELECT 1 AS a WHERE 0", "[]\n"},
    {"json", "SELECT 'a' || char(0) || 'b' AS \"k\"\"y\"", "[\n{\"k\\\"y\":\"a\\u0000b\"}\n]\n"},
    {"json", "SELECT -9223372036854775808 AS i, 0.1 AS r, 9e999 AS f, -9e999 AS g, x'0aFF' AS b",
     "[\n{\"i\":-9223372036854775808,\"r\":0.1,\"f\":9e999,\"g\":-9e999,\"b\":\"0AFF\"}\n]\n"},
    {"json", "SELECT CAST(x'41ff42' AS TEXT) AS t", "[\n{\"t\":\"A\357\277\275B\"}\n]\n"},
    {"json", "SELECT json('[1]') AS j", "[\n{\"j\":\"[1]\"}\n]\n"},
    {"table", "SELECT 1 AS a WHERE 0", "a\n"},
    {"table", "SELECT 'x' AS name, 5 AS n UNION ALL SELECT 'long name', NULL", "name          n\nx             5\nlong name  NULL\n"},
};

START_TEST(test_export)
{
    struct vs_error e = {""};
    int result;
    char *text = export_rows(exports[_i].format, exports[_i].sql, &result, &e);
    ck_assert_msg(!result, "%s", e.text);
    ck_assert_str_eq(text, exports[_i].text);
    free(text);
}
END_TEST

START_TEST(test_table_flows) /* more rows than are held back to find the widths */
{
    struct vs_error e = {""};
    int result, lines = 0;
    char *text = export_rows("table", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
                                      " SELECT i, 'x' || i AS t FROM n", &result, &e), *p;
    ck_assert_int_eq(result, 0);
    for (p = text; *p; p++) lines += *p == '\n';
    ck_assert_int_eq(lines, 5001);
    ck_assert_ptr_nonnull(strstr(text, "\n5000  x5000\n"));
    free(text);
}
END_TEST

START_TEST(test_sql_error_while_stepping)
{
    const char *const formats[] = {"table", "csv", "json"};
    struct vs_error e = {""};
    int result;
    free(export_rows(formats[_i], "SELECT abs(-9223372036854775808)", &result, &e));
    ck_assert_int_eq(result, -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.text, "integer overflow"));
}
END_TEST

Suite *make_exporters_suite(void)
{
    Suite *s = suite_create("exporters");
    TCase *c = tcase_create("text");
    tcase_add_loop_test(c, test_visible, 0, sizeof texts / sizeof texts[0]);
    tcase_add_test(c, test_visible_fits_any_buffer);
    suite_add_tcase(s, c);
    c = tcase_create("rows");
    tcase_add_loop_test(c, test_export, 0, sizeof exports / sizeof exports[0]);
    tcase_add_test(c, test_table_flows);
    tcase_add_loop_test(c, test_sql_error_while_stepping, 0, 3);
    suite_add_tcase(s, c);
    return s;
}
