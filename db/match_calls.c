/* SPDX-License-Identifier: MIT
 *
 * match_calls.c: one row of each collective from the calls of its ranks. It must never give a duration or a bandwidth to
 * one that is not whole, nor a bandwidth to the time it takes to hand work to a GPU.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "match.h"

enum { LIST = 200 }; /* of ranks, as text */

/* NCCL's published factors: bytes of all ranks' data by time, and what of it goes over the busiest link. */
#define SPREAD "c.op IN ('all_gather', 'reduce_scatter', 'all_to_all', 'gather', 'scatter')"
#define ALL_BYTES "CASE WHEN " SPREAD " THEN 1.0 * c.bytes * m.nranks ELSE c.bytes END"
#define FACTOR                                                                                                         \
    "CASE WHEN m.nranks < 2 THEN NULL WHEN " SPREAD " THEN (m.nranks - 1.0) / m.nranks"                                \
    " WHEN c.op = 'all_reduce' THEN 2 * (m.nranks - 1.0) / m.nranks WHEN m.nranks > 1 THEN 1 END"

/* A call's kernels are those its thread launched before it, or the group it is in, returned. Calls of one group share them. */
#define KERNEL(what)                                                                                                   \
    "(SELECT " what " FROM temp.match_kernel k WHERE k.process_id = c.process_id AND k.thread_id = c.thread_id AND"    \
    " k.launch_ns BETWEEN c.begin_ns AND c.end_ns AND (m.device IS NULL OR k.device < 0 OR k.device = m.device))"

static const char group_sql[] =
    "CREATE TEMP TABLE match_group (communicator_id INTEGER, group_id INTEGER, calls INTEGER, bytes REAL, bus REAL,"
    "  PRIMARY KEY (communicator_id, group_id)) WITHOUT ROWID;"
    "CREATE INDEX temp.match_by_team ON match_member (team, rank);"
    "INSERT INTO temp.match_group SELECT c.communicator_id, c.group_id, COUNT(*), SUM(" ALL_BYTES "), SUM(" ALL_BYTES " * " FACTOR ")"
    "  FROM collective c CROSS JOIN temp.match_member m ON m.communicator_id = c.communicator_id"
    "  WHERE c.sequence IS NOT NULL AND c.group_id IS NOT NULL GROUP BY 1, 2";

enum {
    TEAM,
    SEQUENCE,
    RANK,
    PROCESS,
    OP,
    DTYPE,
    BYTES,
    CALL_BEGIN,
    CALL_END,
    KERNEL_BEGIN,
    KERNEL_END,
    OFFSET,
    SYNCHRONOUS,
    DIED,
    CALLS,
    ALL,
    BUS
};
static const char calls_sql[] =
    "SELECT m.team, c.sequence, m.rank, c.process_id, c.op, c.dtype, c.bytes, c.begin_ns, c.end_ns, " KERNEL("MIN(begin_ns)")
    ", " KERNEL("MAX(end_ns)") ", m.offset_ns, c.origin = 'nvtx' AND m.device IS NULL, m.dead AND m.kernels,"
    " COALESCE(g.calls, 1), COALESCE(g.bytes, " ALL_BYTES "), COALESCE(g.bus, " ALL_BYTES " * " FACTOR ")"
    " FROM collective c CROSS JOIN temp.match_member m ON m.communicator_id = c.communicator_id"
    " LEFT JOIN temp.match_group g ON g.communicator_id = c.communicator_id AND g.group_id = c.group_id"
    " WHERE c.sequence IS NOT NULL ORDER BY 1, 2, 3, c.id";

struct call {
    int64_t rank, process, begin[2], end[2]; /* of the host's call, of its kernels; VS_NONE: not known */
    int synchronous, died;
};

struct match {
    struct vs_store *store;
    sqlite3_stmt *put;
    /* the team */
    int64_t team, hash, nranks;
    int64_t *member; /* ranks, ascending */
    size_t members;
    char name[128];
    int named;
    /* the collective */
    int64_t sequence, bytes, grouped;
    double all, bus; /* bytes; below 0: not known */
    char op[32], dtype[32];
    int has_dtype, differs;
    struct call *call; /* by rank */
    int64_t *start;
    size_t calls, room;
};

static void out_of_memory(struct match *m)
{
    vs_store_fail(m->store, ENOMEM, "out of memory");
}

static void load_team(struct match *m, int64_t team)
{
    sqlite3_stmt *q = vs_match_query(m->store, "SELECT x.rank, x.nranks, c.hash, c.name FROM temp.match_member x JOIN communicator c"
                                               " ON c.id = x.communicator_id WHERE x.team = ?1 ORDER BY x.rank");
    m->team = team;
    m->members = 0;
    m->nranks = VS_NONE;
    m->named = 0;
    if (q) sqlite3_bind_int64(q, 1, team);
    while (vs_match_next(m->store, &q)) {
        if (!(m->members & (m->members - 1))) {
            int64_t *bigger = realloc(m->member, (m->members ? 2 * m->members : 1) * sizeof *bigger);
            if (!bigger) {
                out_of_memory(m);
                continue;
            }
            m->member = bigger;
        }
        m->member[m->members++] = sqlite3_column_int64(q, 0);
        if (vs_match_number(q, 1) > m->nranks) m->nranks = vs_match_number(q, 1);
        m->hash = sqlite3_column_int64(q, 2);
        if (!m->named && sqlite3_column_text(q, 3)) {
            m->named = 1;
            snprintf(m->name, sizeof m->name, "%s", (const char *)sqlite3_column_text(q, 3));
        }
    }
}

/* "1,4-7"; too many end in "...". */
struct list {
    char text[LIST];
    size_t used;
    int64_t from, to;
    int any;
};

static void list_write(struct list *l)
{
    char part[64], *p = part;
    if (!l->any || l->used + 64 > LIST) return;
    p += sprintf(p, "%s%lld", l->used ? "," : "", (long long)l->from);
    if (l->to > l->from) sprintf(p, "%s%lld", l->to > l->from + 1 ? "-" : ",", (long long)l->to);
    l->used += (size_t)sprintf(l->text + l->used, "%s", part);
    if (l->used + 64 > LIST) sprintf(l->text + l->used, ",...");
}

static void list_add(struct list *l, int64_t rank)
{
    if (l->any && rank == l->to + 1 && l->from >= 0) {
        l->to = rank;
        return;
    }
    list_write(l);
    l->from = l->to = rank;
    l->any = 1;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

struct times {
    int kind; /* 0: of calls, 1: of kernels */
    const char *name;
    int64_t first, last, end, late;
    const struct call *latest;
};

static void find_times(struct match *m, struct times *t)
{
    size_t n = m->calls, others = n - 1;
    int synchronous = 1;
    t->kind = 1;
    for (size_t i = 0; i < n; i++) {
        if (m->call[i].begin[1] == VS_NONE) t->kind = 0;
        synchronous &= m->call[i].synchronous;
    }
    t->name = t->kind ? "kernel" : synchronous ? "call" : "enqueue";
    t->end = INT64_MIN + 1;
    t->latest = &m->call[0];
    for (size_t i = 0; i < n; i++) {
        const struct call *c = &m->call[i];
        m->start[i] = c->begin[t->kind];
        if (c->begin[t->kind] > t->latest->begin[t->kind]) t->latest = c;
        if (c->end[t->kind] == VS_NONE || t->end == VS_NONE) t->end = VS_NONE;
        else if (c->end[t->kind] > t->end) t->end = c->end[t->kind];
    }
    qsort(m->start, n, sizeof *m->start, by_value);
    t->first = m->start[0];
    t->last = m->start[n - 1];
    t->late = VS_NONE;
    if (others) t->late = vs_match_minus(t->last, m->start[others / 2] / 2 + m->start[(others - 1) / 2] / 2);
}

static void bind_number(sqlite3_stmt *q, int at, int64_t n)
{
    if (n == VS_NONE) sqlite3_bind_null(q, at);
    else sqlite3_bind_int64(q, at, n);
}

static void bind_list(sqlite3_stmt *q, int at, struct list *l)
{
    list_write(l);
    if (l->any) sqlite3_bind_text(q, at, l->text, -1, SQLITE_TRANSIENT);
    else sqlite3_bind_null(q, at);
}

/* Who has not done it, or is not known to have. */
static int bind_lists(struct match *m, int at, const struct times *t)
{
    struct list missing = {.used = 0}, unfinished = {.used = 0}, unreported = {.used = 0};
    size_t i = 0;
    for (size_t k = 0; k < m->members; k++) {
        while (i < m->calls && m->call[i].rank < m->member[k]) i++;
        if (i == m->calls || m->call[i].rank != m->member[k]) list_add(&missing, m->member[k]);
    }
    for (i = 0; i < m->calls; i++) {
        const struct call *c = &m->call[i];
        if (c->end[0] == VS_NONE) list_add(&unfinished, c->rank);
        else if (!t->kind && c->died && c->begin[1] == VS_NONE) list_add(&unreported, c->rank);
    }
    bind_list(m->put, at, &missing);
    bind_list(m->put, at + 1, &unfinished);
    bind_list(m->put, at + 2, &unreported);
    return !missing.any && !unfinished.any && !unreported.any;
}

static void write_match(struct match *m)
{
    struct times t;
    int64_t duration, values[6];
    int whole;
    if (!m->calls || vs_store_error(m->store)) return;
    find_times(m, &t);
    sqlite3_bind_int64(m->put, 1, m->team);
    sqlite3_bind_int64(m->put, 2, m->hash);
    sqlite3_bind_text(m->put, 3, m->named ? m->name : NULL, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(m->put, 4, m->sequence);
    sqlite3_bind_text(m->put, 5, m->op, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(m->put, 6, m->has_dtype ? m->dtype : NULL, -1, SQLITE_TRANSIENT);
    bind_number(m->put, 7, m->bytes);
    bind_number(m->put, 8, m->nranks);
    sqlite3_bind_int64(m->put, 9, (int64_t)m->members);
    sqlite3_bind_int64(m->put, 10, (int64_t)m->calls);
    whole = bind_lists(m, 11, &t) && !m->differs;
    if (!whole) t.end = VS_NONE;
    duration = t.end == VS_NONE ? VS_NONE : vs_match_minus(t.end, t.last);
    if (duration < 0) duration = VS_NONE; /* clocks of several hosts, or damage */
    sqlite3_bind_int(m->put, 14, m->differs);
    sqlite3_bind_text(m->put, 15, t.name, -1, SQLITE_STATIC);
    memcpy(values, (int64_t[]){t.first, t.last, t.end, vs_match_minus(t.last, t.first), duration, VS_NONE}, sizeof values);
    for (int i = 0; i < 5; i++) bind_number(m->put, 16 + i, values[i]);
    bind_number(m->put, 21, m->calls > 1 ? t.latest->rank : VS_NONE);
    bind_number(m->put, 22, m->calls > 1 ? t.latest->process : VS_NONE);
    bind_number(m->put, 23, t.late);
    sqlite3_bind_null(m->put, 24);
    sqlite3_bind_null(m->put, 25);
    if (duration > 0 && strcmp(t.name, "enqueue")) {
        if (m->all > 0) sqlite3_bind_double(m->put, 24, m->all / (double)duration);
        if (m->bus > 0) sqlite3_bind_double(m->put, 25, m->bus / (double)duration);
    }
    sqlite3_bind_int64(m->put, 26, m->grouped);
    if (sqlite3_step(m->put) != SQLITE_DONE)
        vs_store_fail(m->store, EIO, sqlite3_errmsg(vs_store_handle(m->store)));
    sqlite3_reset(m->put);
}

static void begin_match(struct match *m, sqlite3_stmt *q)
{
    const char *dtype = (const char *)sqlite3_column_text(q, DTYPE);
    m->sequence = sqlite3_column_int64(q, SEQUENCE);
    m->bytes = vs_match_number(q, BYTES);
    m->grouped = sqlite3_column_int64(q, CALLS);
    m->all = sqlite3_column_type(q, ALL) == SQLITE_NULL ? -1 : sqlite3_column_double(q, ALL);
    m->bus = sqlite3_column_type(q, BUS) == SQLITE_NULL ? -1 : sqlite3_column_double(q, BUS);
    snprintf(m->op, sizeof m->op, "%s", (const char *)sqlite3_column_text(q, OP));
    m->has_dtype = dtype != NULL;
    snprintf(m->dtype, sizeof m->dtype, "%s", dtype ? dtype : "");
    m->differs = 0;
    m->calls = 0;
}

static void add_call(struct match *m, sqlite3_stmt *q)
{
    int64_t offset = sqlite3_column_int64(q, OFFSET);
    struct call *c;
    if (m->calls == m->room) {
        size_t room = m->room ? 2 * m->room : 16;
        struct call *call = realloc(m->call, room * sizeof *call);
        if (call) m->call = call;
        int64_t *start = realloc(m->start, room * sizeof *start);
        if (start) m->start = start;
        if (!call || !start) {
            out_of_memory(m);
            return;
        }
        m->room = room;
    }
    c = &m->call[m->calls++];
    *c = (struct call){.rank = sqlite3_column_int64(q, RANK),
                       .process = sqlite3_column_int64(q, PROCESS),
                       .begin = {vs_match_number(q, CALL_BEGIN), vs_match_number(q, KERNEL_BEGIN)},
                       .end = {vs_match_number(q, CALL_END), vs_match_number(q, KERNEL_END)},
                       .synchronous = sqlite3_column_int(q, SYNCHRONOUS),
                       .died = sqlite3_column_int(q, DIED)};
    for (int i = 0; i < 2; i++) {
        if (c->begin[i] != VS_NONE) c->begin[i] = vs_match_add(c->begin[i], offset);
        if (c->end[i] != VS_NONE) c->end[i] = vs_match_add(c->end[i], offset);
    }
    m->differs |= strcmp(m->op, (const char *)sqlite3_column_text(q, OP)) || m->bytes != vs_match_number(q, BYTES);
}

void vs_match_calls(struct vs_store *s)
{
    struct match m = {.store = s, .team = VS_NONE};
    sqlite3_stmt *q;
    vs_match_run(s, group_sql);
    q = vs_match_query(s, calls_sql);
    m.put = vs_match_query(s, "INSERT INTO collective_match VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                              " ?, ?, ?, ?, ?, ?)");
    while (vs_match_next(s, &q)) {
        if (sqlite3_column_int64(q, TEAM) != m.team || sqlite3_column_int64(q, SEQUENCE) != m.sequence) {
            write_match(&m);
            if (sqlite3_column_int64(q, TEAM) != m.team) load_team(&m, sqlite3_column_int64(q, TEAM));
            begin_match(&m, q);
        }
        add_call(&m, q);
    }
    write_match(&m);
    sqlite3_finalize(m.put);
    free(m.member);
    free(m.call);
    free(m.start);
}
