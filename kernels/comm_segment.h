/* SPDX-License-Identifier: MIT
 *
 * comm_segment.h: memory that the ranks of one shared-memory communicator have in common: a slot per rank, a word by which each tells
 * how far it is, and the waiting for all. It knows no collective.
 *
 * Work goes in rounds. In each, every rank fills its slot and calls vs_segment_round, which returns when all have done so; then all
 * slots may be read until the next call. Slots are double: a fast rank fills the one while slow ranks read the other.
 * The memory has a name only until all ranks have it: then nothing is left to clean up, whatever is killed.
 *
 * Ownership: make makes, close frees. Threading: one thread, but vs_segment_stop and vs_segment_stopped, which any may call.
 * Errors: 0; -ENOMEM no memory, no room in /dev/shm; -EPROTO ranks that do not fit, a rank that has closed; -ECANCELED stopped; -EIO.
 *         vs_segment_error says more, for the calling thread.
 */
#ifndef VS_KERNELS_COMM_SEGMENT_H
#define VS_KERNELS_COMM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Ranks of one host; beyond, slots would be too small for an element of each. */
#define VS_SEGMENT_RANKS 256

/* What a rank is doing in a round: others compare it, byte by byte, with what they do. */
struct vs_segment_task {
    uint64_t number, bytes; /* which operation of this communicator, from 0; bytes of one rank */
    uint64_t shape;         /* a hash of all that must be alike beyond the other fields */
    uint64_t round;         /* of the part */
    uint32_t kind, dtype;
    uint32_t parts, part;
};

struct vs_segment;
/* token: 16 bytes for the name, random, known to the ranks alone. Waits for nobody. */
int vs_segment_make(struct vs_segment **out, const unsigned char token[16], int rank, int world);
/* Waits for all ranks; the name is gone when it returns. Before any round. */
int vs_segment_meet(struct vs_segment *s);
void vs_segment_close(struct vs_segment *s); /* NULL is fine; waits for nobody */

size_t vs_segment_slot_bytes(const struct vs_segment *s);
/* Where this rank writes for the coming round. */
void *vs_segment_mine(struct vs_segment *s);
int vs_segment_round(struct vs_segment *s, const struct vs_segment_task *task);
/* Of the last round. */
const void *vs_segment_slot(const struct vs_segment *s, int rank);
const struct vs_segment_task *vs_segment_task(const struct vs_segment *s, int rank);

/* Ends all waiting, on all ranks, with -ECANCELED, now and later. */
void vs_segment_stop(struct vs_segment *s);
bool vs_segment_stopped(const struct vs_segment *s);

/* The last error of this thread. */
const char *vs_segment_error(void);
int vs_segment_failed(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
#endif
