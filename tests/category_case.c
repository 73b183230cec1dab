/* SPDX-License-Identifier: MIT
 *
 * category_case.c: sums over categories against the rows of table allocation.
 */
#include "category_case.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest_case.h"

int64_t category_at_end(const char *db, const char *phase, int iteration, const char *category)
{
    char sql[400];
    snprintf(sql, sizeof sql,
             "SELECT COALESCE(SUM(m.end_bytes), 0) FROM phase f JOIN phase_memory m ON m.phase_id = f.id"
             " WHERE f.name = '%s' AND f.iteration = %d AND m.category = '%s'",
             phase, iteration, category);
    return case_int(db, sql);
}

void category_sums_are_exact(const char *db)
{
    ck_sql(db, "SELECT SUM(bytes) FROM breakdown_at_peak", case_int(db, "SELECT peak_bytes FROM peak_data WHERE series = 'sub'"));
    ck_sql(db, "SELECT COUNT(*) FROM allocation WHERE level = 'sub' AND category IS NULL", 0);
    ck_sql(db,
           "SELECT COUNT(*) FROM (SELECT at_ns, SUM(bytes) AS told FROM timeline_category GROUP BY ts_ns) t WHERE t.told IS NOT"
           " (SELECT SUM(bytes) FROM allocation WHERE alloc_ts_ns <= t.at_ns AND COALESCE(free_ts_ns, 1 << 62) > t.at_ns)", 0);
    ck_sql(db,
           "SELECT COUNT(*) FROM (SELECT f.end_ns, SUM(m.end_bytes) AS told FROM phase f JOIN phase_memory m ON m.phase_id = f.id"
           " GROUP BY f.id) t WHERE t.told IS NOT"
           " (SELECT SUM(bytes) FROM allocation WHERE alloc_ts_ns <= t.end_ns AND COALESCE(free_ts_ns, 1 << 62) > t.end_ns)", 0);
    ck_sql(db,
           "SELECT COUNT(*) FROM (SELECT peak_ts_ns AS ts, SUM(peak_bytes) AS told FROM phase_memory GROUP BY phase_id) t"
           " WHERE t.told IS NOT"
           " (SELECT SUM(bytes) FROM allocation WHERE alloc_ts_ns <= t.ts AND COALESCE(free_ts_ns, 1 << 62) > t.ts)", 0);
}
