/* SPDX-License-Identifier: MIT
 *
 * store.h: the only writer of a database: prepared statements, transactions, interned texts.
 *
 * The first failure of any call sticks in vs_store_error(): callers write rows without looking at each result, and
 * whoever commits looks once. A muted store writes no rows; it is how a log is replayed to rebuild what an earlier
 * ingest knew (see process.h).
 *
 * Ownership: vs_store_close (NULL is fine). Threading: one thread. Errors: -errno, with a text in vs_store_message().
 */
#ifndef VS_DB_STORE_H
#define VS_DB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct vs_store;
struct sqlite3;

#define VS_NONE INT64_MIN /* an integer that is not known: stored as NULL */

/* X(id, table, number of columns): rows of every column in the order of schema.sql */
#define VS_INSERTS(X)                                                                                                  \
    X(ALLOCATION, "INTO allocation", 21)                                                                               \
    X(FAILURE, "INTO allocation_failure", 15)                                                                          \
    X(RANGE, "INTO range", 12)                                                                                         \
    X(MARK, "INTO mark", 7)                                                                                            \
    X(RANGE_MEMORY, "INTO range_memory_data", 6)                                                                       \
    X(KERNEL, "INTO kernel", 23)                                                                                       \
    X(TRANSFER, "INTO transfer", 15)                                                                                   \
    X(API_CALL, "INTO api_call", 7)                                                                                    \
    X(COMMUNICATOR, "OR REPLACE INTO communicator", 12)                                                                \
    X(COLLECTIVE, "OR REPLACE INTO collective", 20)                                                                    \
    X(SNAPSHOT, "INTO snapshot", 7)                                                                                    \
    X(DEVICE_SAMPLE, "INTO device_sample", 6)                                                                          \
    X(POOL_SAMPLE, "INTO pool_sample", 7)                                                                              \
    X(HOST_SAMPLE, "INTO host_sample", 9)                                                                              \
    X(GAP, "INTO gap", 5)                                                                                              \
    X(THREAD, "OR REPLACE INTO thread", 4)                                                                             \
    X(DEVICE, "OR REPLACE INTO device", 6)                                                                             \
    X(SETTING, "OR REPLACE INTO setting", 3)                                                                           \
    X(PROCESS, "OR REPLACE INTO process", 28)                                                                          \
    X(LOSS, "OR REPLACE INTO loss", 4)                                                                                 \
    X(BALANCE, "OR REPLACE INTO balance", 5)                                                                           \
    X(OVERHEAD, "OR REPLACE INTO overhead", 4)                                                                         \
    X(PEAK, "OR REPLACE INTO peak_data", 9)                                                                            \
    X(AT_PEAK, "INTO at_peak", 9)                                                                                      \
    X(AT_PEAK_LINE, "INTO at_peak_line", 6)                                                                            \
    X(FRAME, "INTO frame", 6)                                                                                          \
    X(FAILURE_STACK, "INTO failure_stack", 3)                                                                          \
    X(STACK, "INTO stack", 5)                                                                                          \
    X(ACCOUNT, "OR REPLACE INTO account_data", 5)                                                                      \
    X(ACCOUNT_CHECK, "INTO account_check", 6)                                                                          \
    X(SEGMENT, "INTO segment_fragmentation", 10)                                                                       \
    X(GROWTH, "INTO context_growth", 6)                                                                                \
    X(PHASE, "OR REPLACE INTO phase", 7)                                                                               \
    X(PHASE_MEMORY, "OR REPLACE INTO phase_memory", 7)                                                                 \
    X(AT_FAILURE, "INTO at_failure", 10)                                                                               \
    X(TIMELINE_CATEGORY, "INTO timeline_category", 7)                                                                  \
    X(TIMELINE, "OR REPLACE INTO timeline", 8)                                                                         \
    X(KERNEL_TOTAL, "INTO kernel_total", 8)                                                                            \
    X(RANGE_TOTAL, "INTO range_total", 7)                                                                              \
    X(STEP_OVERLAP, "INTO step_overlap_data", 13)                                                                      \
    X(RANK_ACTIVITY, "INTO rank_activity", 7)                                                                          \
    X(STATE, "OR REPLACE INTO ingest_state", 3)                                                                        \
    X(META, "OR REPLACE INTO meta", 2)

/* X(id, SQL) */
#define VS_CHANGES(X)                                                                                                  \
    X(ALLOCATION_CHANGE, "UPDATE allocation SET free_ts_ns=?2, free_thread_id=?3, free_range_id=?4, level=?5, "        \
                         "parent_id=?6, source=?7, address=?8, flags=?9, category=?10, name_id=?11, library=?12 "      \
                         "WHERE id=?1")                                                                                \
    X(RANGE_END, "UPDATE range SET end_ns=?2 WHERE id=?1")                                                             \
    X(ABANDON, "UPDATE process SET ended='killed' WHERE id=?1 AND ended='running'")                                    \
    X(RUN_STATUS, "UPDATE process SET exit_status=COALESCE(exit_status, ?5) WHERE id=(SELECT id FROM process WHERE "   \
                  "host=?1 AND pid=?2 AND start_ns BETWEEN ?3 AND ?4 AND ended IN ('exit','killed') "                  \
                  "ORDER BY start_ns DESC LIMIT 1)")                                                                   \
    X(RUN_KILLS, "UPDATE process SET oom_kills=?4 WHERE host=?1 AND start_ns BETWEEN ?2 AND ?3")                       \
    X(FAILURE_LIBRARY, "UPDATE allocation_failure SET library=?3 WHERE process_id=?1 AND ts_ns=?2 AND library IS NULL " \
                       "AND source<>'torch'")                                                                          \
    X(GAP_END, "UPDATE gap SET end_ns=?4 WHERE process_id=?1 AND source=?2 AND begin_ns=?3")                           \
    X(STRING_TEXT, "UPDATE string SET text=?2 WHERE id=?1")                                                            \
    X(COLLECTIVE_ORDER, "UPDATE collective SET sequence=o.n FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id)-1 AS n "  \
                        "FROM collective WHERE communicator_id=?1 AND sequence IS NOT NULL) o "                        \
                        "WHERE collective.id=o.id")                                                                    \
    X(CLEAR_TIMELINE, "DELETE FROM timeline WHERE process_id=?1 AND device=?2 AND series=?3")                          \
    X(CLEAR_AT_FAILURE, "DELETE FROM at_failure WHERE process_id=?1")                                                  \
    X(CLEAR_TIMELINE_CATEGORY, "DELETE FROM timeline_category WHERE process_id=?1")                                    \
    X(CLEAR_PHASE, "DELETE FROM phase WHERE process_id=?1")                                                            \
    X(CLEAR_PHASE_MEMORY, "DELETE FROM phase_memory WHERE process_id=?1")                                              \
    X(CLEAR_ACCOUNT, "DELETE FROM account_data WHERE process_id=?1")                                                   \
    X(CLEAR_ACCOUNT_CHECK, "DELETE FROM account_check WHERE process_id=?1")                                            \
    X(CLEAR_SEGMENT, "DELETE FROM segment_fragmentation WHERE process_id=?1")                                          \
    X(CLEAR_AT_PEAK, "DELETE FROM at_peak WHERE process_id=?1")                                                        \
    X(CLEAR_AT_PEAK_LINE, "DELETE FROM at_peak_line WHERE process_id=?1")                                              \
    X(CLEAR_KERNEL_TOTAL, "DELETE FROM kernel_total WHERE process_id=?1")                                              \
    X(CLEAR_RANGE_TOTAL, "DELETE FROM range_total WHERE process_id=?1")                                                \
    X(CLEAR_LOSS, "DELETE FROM loss WHERE process_id=?1")

enum vs_statement {
#define X(id, table, columns) VS_ST_##id,
    VS_INSERTS(X)
#undef X
#define X(id, sql) VS_ST_##id,
        VS_CHANGES(X)
#undef X
            VS_NSTATEMENTS
};

struct vs_value {
    const char *text;
    int64_t number;
    bool is_text;
};
static inline struct vs_value vs_int(int64_t n)
{
    return (struct vs_value){NULL, n, false};
} /* VS_NONE: NULL */
static inline struct vs_value vs_text(const char *t)
{
    return (struct vs_value){t, VS_NONE, true};
} /* NULL: NULL */

/* Binds and runs. Texts must live until it returns. */
void vs_store_put(struct vs_store *s, enum vs_statement st, const struct vs_value *values, int n);
#define VS_PUT(store, st, ...)                                                                                         \
    vs_store_put((store), (st), (const struct vs_value[]){__VA_ARGS__},                                                \
                 (int)(sizeof((const struct vs_value[]){__VA_ARGS__}) / sizeof(struct vs_value)))

int vs_store_open(const char *path, struct vs_store **out,
                  struct vs_error *e);   /* an existing file; empty: gets the schema */
void vs_store_close(struct vs_store *s); /* rolls back what is not committed */
struct sqlite3 *vs_store_handle(struct vs_store *s);

int vs_store_begin(struct vs_store *s);
int vs_store_commit(struct vs_store *s);
void vs_store_rollback(struct vs_store *s); /* and forgets the sticky error */
int vs_store_index(struct vs_store *s);     /* what views need; cheap when it is there */
int vs_store_forget(struct vs_store *s, int64_t process, int64_t base, int64_t rows); /* all rows of a process */
int vs_store_settle(struct vs_store *s); /* moves all into the one file, durably */

void vs_store_fail(struct vs_store *s, int code, const char *what); /* the first one sticks; code > 0 */
int vs_store_error(const struct vs_store *s);
const char *vs_store_message(const struct vs_store *s);

void vs_store_mute(struct vs_store *s, bool muted);
bool vs_store_muted(const struct vs_store *s);
uint64_t vs_store_rows(const struct vs_store *s); /* written so far */

/* Row id of a text; made when new. Bytes that are not UTF-8 become U+FFFD. */
int64_t vs_store_string(struct vs_store *s, const char *bytes, size_t n);
/* A row whose text comes later (vs_store_string_fill). */
int64_t vs_store_string_later(struct vs_store *s);
char *vs_store_string_text(struct vs_store *s, int64_t id); /* NULL: unknown. The caller frees it */
void vs_store_string_fill(struct vs_store *s, int64_t id, const char *bytes, size_t n);

/* Value of ingest_state as a number or text; VS_NONE / NULL when there is none. The text is the caller's to free. */
int64_t vs_store_state(struct vs_store *s, int64_t process, const char *key);
char *vs_store_state_text(struct vs_store *s, int64_t process, const char *key);

#endif
