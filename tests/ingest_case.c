/* SPDX-License-Identifier: MIT
 *
 * ingest_case.c: folders and queries of the ingest tests. It must use SQLite alone to look at results, not our reader.
 */
#include "ingest_case.h"

#include <check.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void case_make(struct ingest_case *c)
{
    snprintf(c->root, sizeof c->root, "/tmp/vramscope-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(c->root));
    snprintf(c->run, sizeof c->run, "%s/run", c->root);
    snprintf(c->memory, sizeof c->memory, "%s/memory", c->root);
    snprintf(c->db, sizeof c->db, "%s/run.db", c->root);
    ck_assert(!mkdir(c->run, 0700) && !mkdir(c->memory, 0700));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void case_remove(struct ingest_case *c)
{
    nftw(c->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct vs_log_writer *case_writer(struct ingest_case *c, uint32_t pid)
{
    struct vs_log_writer_options o = {.run = c->run, .memory = c->memory, .pid = pid};
    return vs_log_writer_open(&o);
}

void case_ingest(struct ingest_case *c, const char *db)
{
    struct vs_error e = {""};
    struct vs_ingest *in = NULL;
    ck_assert_msg(!vs_ingest_open(db, VS_INGEST_NEW, &in, &e), "%s", e.text);
    ck_assert_msg(!vs_ingest_finish(in, c->run, 0, &e), "%s", e.text);
    vs_ingest_close(in);
}

static sqlite3 *open_db(const char *path)
{
    sqlite3 *db;
    ck_assert_msg(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK, "%s", path);
    return db;
}

int64_t case_int(const char *path, const char *sql)
{
    sqlite3 *db = open_db(path);
    sqlite3_stmt *q;
    int64_t n = INT64_MIN;
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL) n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void join(sqlite3 *db, const char *sql, FILE *to, char field, char row)
{
    sqlite3_stmt *q;
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    for (int first = 1; sqlite3_step(q) == SQLITE_ROW; first = 0) {
        if (!first) fputc(row, to);
        for (int i = 0; i < sqlite3_column_count(q); i++) {
            const char *text = (const char *)sqlite3_column_text(q, i);
            if (i) fputc(field, to);
            fputs(text ? text : "-", to);
        }
    }
    sqlite3_finalize(q);
}

char *case_text(const char *path, const char *sql)
{
    sqlite3 *db = open_db(path);
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    join(db, sql, to, '|', ',');
    fclose(to);
    sqlite3_close(db);
    return text;
}

/* All columns, in their order; texts instead of their row numbers, which depend on the order slabs were read in. */
static void select_all(sqlite3 *db, const char *table, char *sql, size_t size)
{
    char ask[100], order[300] = "1";
    sqlite3_stmt *q;
    int n = 0, at = snprintf(sql, size, "SELECT ");
    snprintf(ask, sizeof ask, "SELECT name FROM pragma_table_info('%s')", table);
    ck_assert(sqlite3_prepare_v2(db, ask, -1, &q, NULL) == SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *column = (const char *)sqlite3_column_text(q, 0);
        const char *form = strcmp(column, "name_id") ? "%s%s" : "%s(SELECT text FROM string s WHERE s.id = %s)";
        at += snprintf(sql + at, size - (size_t)at, form, n ? ", " : "", column);
        if (n++) snprintf(order + strlen(order), sizeof order - strlen(order), ", %d", n);
    }
    sqlite3_finalize(q);
    snprintf(sql + at, size - (size_t)at, " FROM %s ORDER BY %s", table, order);
}

char *case_dump(const char *path)
{
    sqlite3 *db = open_db(path);
    char *text = NULL, sql[2000];
    size_t n;
    FILE *to = open_memstream(&text, &n);
    sqlite3_stmt *q;
    ck_assert(sqlite3_prepare_v2(db,
                                 "SELECT name FROM sqlite_master WHERE type='table' AND name NOT IN ('meta', "
                                 "'ingest_state', 'string') ORDER BY name",
                                 -1, &q, NULL) == SQLITE_OK);
    join(db, "SELECT DISTINCT text FROM string ORDER BY 1", to, '|', '\n');
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(q, 0);
        fprintf(to, "\n== %s\n", table);
        select_all(db, table, sql, sizeof sql);
        join(db, sql, to, '|', '\n');
    }
    sqlite3_finalize(q);
    fclose(to);
    sqlite3_close(db);
    return text;
}

void case_balanced(const char *db)
{
    ck_sql(db, "SELECT COUNT(*) FROM balance WHERE appended IS NULL OR appended <> stored + lost_in_log", 0);
    ck_sql(db, "SELECT COUNT(DISTINCT source) FROM balance", VS_NSOURCES);
}
