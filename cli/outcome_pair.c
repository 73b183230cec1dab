/* SPDX-License-Identifier: MIT
 *
 * outcome_pair.c: pairs and their differences, in SQL over the tables of outcome.h. Must never pair an outcome twice.
 */
#include "outcome_pair.h"

#include <errno.h>
#include <sqlite3.h>

#include "outcome.h"
#include "outcome_parts.h"

#define MOST_DIFFERENCES 6 /* in one message */

/* Two of one name and length in a side: those of one configuration first, then in order. */
static const char pair_sql[] =
    "CREATE TABLE pair(id INTEGER PRIMARY KEY, a INTEGER UNIQUE, b INTEGER UNIQUE);"
    "INSERT INTO pair(a, b) SELECT a.id, b.id FROM outcome a JOIN outcome b ON a.side = 'A' AND b.side = 'B'"
    " WHERE (SELECT COUNT(*) FROM outcome WHERE side = 'A') = 1 AND (SELECT COUNT(*) FROM outcome WHERE side = 'B') = 1;"
    "CREATE TEMP TABLE told AS SELECT o.id, o.side, o.name, o.seq_len, (SELECT group_concat(key || '=' || value, char(10))"
    "  FROM (SELECT key, value FROM setting WHERE outcome = o.id AND must ORDER BY key)) AS config FROM outcome o;"
    "CREATE TEMP VIEW same AS SELECT *, ROW_NUMBER() OVER (PARTITION BY side, name, seq_len, config ORDER BY id) AS n"
    " FROM told WHERE id NOT IN (SELECT a FROM pair UNION ALL SELECT b FROM pair);"
    "INSERT INTO pair(a, b) SELECT a.id, b.id FROM same a JOIN same b ON a.side = 'A' AND b.side = 'B' AND a.name = b.name"
    " AND a.seq_len IS b.seq_len AND a.config IS b.config AND a.n = b.n ORDER BY a.id;"
    "CREATE TEMP VIEW alike AS SELECT *, ROW_NUMBER() OVER (PARTITION BY side, name, seq_len ORDER BY id) AS n FROM told"
    " WHERE id NOT IN (SELECT a FROM pair UNION ALL SELECT b FROM pair);"
    "INSERT INTO pair(a, b) SELECT a.id, b.id FROM alike a JOIN alike b ON a.side = 'A' AND b.side = 'B' AND a.name = b.name"
    " AND a.seq_len IS b.seq_len AND a.n = b.n ORDER BY a.id;"
    /* One that failed early may not know its length. */
    "CREATE TEMP VIEW named AS SELECT *, ROW_NUMBER() OVER (PARTITION BY side, name ORDER BY id) AS n FROM told"
    " WHERE id NOT IN (SELECT a FROM pair UNION ALL SELECT b FROM pair);"
    "INSERT INTO pair(a, b) SELECT a.id, b.id FROM named a JOIN named b ON a.side = 'A' AND b.side = 'B' AND a.name = b.name"
    " AND (a.seq_len IS NULL OR b.seq_len IS NULL) AND a.n = b.n ORDER BY a.id;";

static const char views_sql[] =
    "CREATE VIEW labelled AS SELECT *, name || COALESCE(', T=' || seq_len, '') AS label FROM outcome;"
    "CREATE VIEW paired AS SELECT p.id AS pair, CASE WHEN a.label = b.label THEN a.label WHEN a.name = b.name OR"
    "  a.seq_len IS NOT b.seq_len THEN a.label || ' -> ' || b.label ELSE a.name || ' -> ' || b.label END AS label,"
    "  a.name AS a_name, b.name AS b_name, a.status AS a_status, b.status AS b_status, a.reason AS a_reason,"
    "  b.reason AS b_reason, a.peak_bytes AS a_peak_bytes, b.peak_bytes AS b_peak_bytes, a.seq_len AS seq_len,"
    "  CASE WHEN a.median_ms + b.median_ms IS NULL THEN a.avg_ms ELSE a.median_ms END AS a_ms,"
    "  CASE WHEN a.median_ms + b.median_ms IS NULL THEN b.avg_ms ELSE b.median_ms END AS b_ms,"
    "  CASE WHEN a.median_ms + b.median_ms IS NULL THEN 'mean' ELSE 'median' END AS ms_is"
    "  FROM pair p JOIN labelled a ON a.id = p.a JOIN labelled b ON b.id = p.b;"
    "CREATE VIEW change AS SELECT p.id AS pair, x.kind AS kind, x.name AS name,"
    "  COALESCE(SUM(CASE x.outcome WHEN p.a THEN x.bytes END), 0) AS a_bytes,"
    "  COALESCE(SUM(CASE x.outcome WHEN p.b THEN x.bytes END), 0) AS b_bytes"
    "  FROM pair p JOIN amount x ON x.outcome IN (p.a, p.b) AND EXISTS (SELECT 1 FROM amount y WHERE y.outcome ="
    "   CASE x.outcome WHEN p.a THEN p.b ELSE p.a END AND y.kind = x.kind) GROUP BY p.id, x.kind, x.name;"
    /* Two that are alone are a pair because the user says so: of different modes, too, and then the one without privacy
     * has no noise. What failed may not have come to tell all of its settings. */
    "CREATE VIEW difference AS SELECT d.pair, key, a, b, must AND NOT ((SELECT COUNT(*) FROM outcome) = 2 AND (key = 'mode'"
    "  OR (key = 'noise_multiplier' AND (SELECT COUNT(DISTINCT vanilla) FROM outcome) = 2)))"
    "  AND NOT (a IS NULL AND a_status <> 'ok') AND NOT (b IS NULL AND b_status <> 'ok') AS must"
    "  FROM (SELECT p.id AS pair, x.key AS key, MAX(CASE x.outcome WHEN p.a THEN x.value END) AS a,"
    "  MAX(CASE x.outcome WHEN p.b THEN x.value END) AS b, MAX(x.must) AS must"
    "  FROM pair p JOIN setting x ON x.outcome IN (p.a, p.b) GROUP BY p.id, x.key) d JOIN paired ON paired.pair = d.pair"
    "  WHERE a IS NOT b;"
    "CREATE VIEW lonely AS SELECT id, side, label, name, seq_len, status FROM labelled"
    "  WHERE id NOT IN (SELECT a FROM pair UNION ALL SELECT b FROM pair);";

int vs_outcomes_pair(const char *a, const char *b, sqlite3 **db, struct vs_error *e)
{
    char *message = NULL;
    int err = vs_outcomes_begin(db, e);
    if (!err) err = vs_outcomes_load(*db, "A", a, e);
    if (!err) err = vs_outcomes_load(*db, "B", b, e);
    if (err) return err;
    if (!sqlite3_exec(*db, pair_sql, NULL, NULL, &message)) sqlite3_exec(*db, views_sql, NULL, NULL, &message);
    if (message) err = vs_fail(e, EIO, "cannot pair the outcomes: %s", message);
    sqlite3_free(message);
    return err;
}

/* "seed is 1337 in A and 7 in B (3 experiments)" */
static void append(sqlite3_str *out, sqlite3_stmt *q)
{
    const char *key = (const char *)sqlite3_column_text(q, 0);
    sqlite3_str_appendf(out, "; %s is", key);
    for (int side = 0; side < 2; side++) {
        const char *value = (const char *)sqlite3_column_text(q, 1 + side);
        sqlite3_str_appendf(out, "%s %.60s in %c", side ? " and" : "", value ? value : "not told", 'A' + side);
    }
    if (sqlite3_column_int(q, 3) > 1) sqlite3_str_appendf(out, " (%d experiments)", sqlite3_column_int(q, 3));
}

int vs_outcomes_comparable(sqlite3 *db, const char *const names[2], struct vs_error *e)
{
    sqlite3_str *text;
    sqlite3_stmt *q;
    int found = 0, err = vs_outcome_prepare(db,
                                            "SELECT key, a, b, COUNT(*) FROM difference WHERE must GROUP BY key, a, b"
                                            " ORDER BY key <> 'seed', MIN(pair), key",
                                            &q, e);
    char *differences;
    if (err) return err;
    text = sqlite3_str_new(db);
    while (sqlite3_step(q) == SQLITE_ROW)
        if (found++ < MOST_DIFFERENCES) append(text, q);
    sqlite3_finalize(q);
    if (found > MOST_DIFFERENCES) sqlite3_str_appendf(text, "; and %d more", found - MOST_DIFFERENCES);
    differences = sqlite3_str_finish(text);
    if (found)
        err = vs_fail(e, EINVAL,
                      "A (%.200s) and B (%.200s) were not run alike%.500s. --any-config compares them all the same",
                      names[0], names[1], differences ? differences : "");
    sqlite3_free(differences);
    return err;
}
