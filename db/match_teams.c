/* SPDX-License-Identifier: MIT
 *
 * match_teams.c: puts the communicators of all ranks together: those of one hash, each rank once, at the same time. It must
 * never put two uses of one hash into one team: the numbers of their collectives begin anew.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "match.h"

enum { COMMUNICATOR, HASH, PLACE, PROCESS, SHOWN, NRANKS, DEVICE, OFFSET, DEAD, START, END, KERNELS };

/* rank as shown: of the run where a launcher said it, else of the communicator; a process without any is a negative number. */
static const char list_sql[] =
    "SELECT c.id, c.hash, COALESCE(c.rank, p.rank, -p.id), p.id,"
    " CASE WHEN p.world_size > 1 THEN COALESCE(p.rank, c.rank, -p.id) ELSE COALESCE(c.rank, p.rank, -p.id) END,"
    " c.nranks, c.device, k.offset_ns, p.ended IN ('killed', 'running'), p.start_ns, COALESCE(p.alive_ns, p.end_ns),"
    " EXISTS (SELECT 1 FROM temp.match_kernel x WHERE x.process_id = p.id)"
    " FROM communicator c JOIN process p ON p.id = c.process_id JOIN process_clock k ON k.process_id = p.id"
    " WHERE c.hash IN (SELECT hash FROM temp.match_hash) ORDER BY c.hash, COALESCE(c.created_ns, p.start_ns) + k.offset_ns, c.id";

struct team {
    int64_t number, hash, end_ns; /* end_ns: of its last process */
    int64_t *place;
    size_t count;
};

static int has(const struct team *t, int64_t place)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->place[i] == place) return 1;
    return 0;
}

static int add(struct team *t, int64_t place)
{
    if (!(t->count & (t->count - 1))) {
        int64_t *bigger = realloc(t->place, (t->count ? 2 * t->count : 1) * sizeof *bigger);
        if (!bigger) return -ENOMEM;
        t->place = bigger;
    }
    t->place[t->count++] = place;
    return 0;
}

static void join(struct vs_store *s, struct team *t, sqlite3_stmt *q, sqlite3_stmt *put)
{
    static const int columns[] = {PROCESS, SHOWN, NRANKS, DEVICE, OFFSET, DEAD, KERNELS};
    int64_t offset = sqlite3_column_int64(q, OFFSET), start = vs_match_add(sqlite3_column_int64(q, START), offset);
    int64_t end = vs_match_number(q, END), hash = sqlite3_column_int64(q, HASH), place = sqlite3_column_int64(q, PLACE);
    end = end == VS_NONE ? INT64_MAX : vs_match_add(end, offset);
    if (!t->count || hash != t->hash || start > t->end_ns || has(t, place)) {
        t->number++;
        t->count = 0;
        t->end_ns = end;
        t->hash = hash;
    }
    if (end > t->end_ns) t->end_ns = end;
    if (add(t, place)) vs_store_fail(s, ENOMEM, "out of memory");
    sqlite3_bind_int64(put, 1, sqlite3_column_int64(q, COMMUNICATOR));
    sqlite3_bind_int64(put, 2, t->number);
    for (int i = 0; i < 7; i++) sqlite3_bind_value(put, i + 3, sqlite3_column_value(q, columns[i]));
    if (sqlite3_step(put) != SQLITE_DONE) vs_store_fail(s, EIO, sqlite3_errmsg(vs_store_handle(s)));
    sqlite3_reset(put);
}

void vs_match_teams(struct vs_store *s)
{
    struct team t = {0};
    sqlite3_stmt *last = vs_match_query(s, "SELECT MAX(team) FROM collective_match"), *q = vs_match_query(s, list_sql),
                 *put = vs_match_query(s, "INSERT INTO temp.match_member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    if (vs_match_next(s, &last)) t.number = sqlite3_column_int64(last, 0);
    sqlite3_finalize(last);
    while (vs_match_next(s, &q)) join(s, &t, q, put);
    sqlite3_finalize(put);
    free(t.place);
}
