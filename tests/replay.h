/* SPDX-License-Identifier: MIT
 *
 * replay.h: makes a log of a recorded run from a table of its events, so that ingest meets real programs in tests.
 *
 * The table is CSV, gzipped if its name ends in .gz: a head line, then rows of
 *     ts_ns,address,bytes,allocated_total,reserved_total,thread,thread_name     bytes < 0: a free
 *     #collective,ts_ns,op,send_address,recv_address,bytes,ranks,thread         op as in table collective
 *     #workspace,ts_ns,address,thread                                           a library took it for its own
 * in the order things happened; all on device 0.
 *
 * Errors: abort the test.
 */
#ifndef VS_TESTS_REPLAY_H
#define VS_TESTS_REPLAY_H

#include "log_writer.h"

void vs_replay(struct vs_log_writer *w, const char *path);

#endif
