/* SPDX-License-Identifier: MIT
 *
 * test_comm.c: collectives between processes over shared memory (kernels/comm.h) at 1 to 4 ranks: results to the bit, of every
 * type, in place, larger than a slot, several parts, two communicators by turns; and what the recorder makes of them
 * (programs/comm_ranks.c). How they end, and what happens when ranks do not agree: test_comm_ends.c.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm_case.h"
#include "recording.h"

Suite *make_comm_suite(void);

static const struct vs_comm *const via = &vs_comm_shared_memory;

/* ---- elements: everybody can work out everybody's ---- */

static uint32_t random_of(int rank, size_t i)
{
    uint32_t x = ((uint32_t)i + 1) * 2654435761u ^ ((uint32_t)rank + 1) * 2246822519u;
    x = (x ^ x >> 15) * 2246822519u;
    return x ^ x >> 13;
}

/* What a half means, from its definition; fraction bits: 10 or 7. */
static double decoded(uint16_t half, int fraction)
{
    int exponent = half >> fraction & ((1 << (15 - fraction)) - 1), bias = (1 << (14 - fraction)) - 1;
    double value = (half & ((1 << fraction) - 1)) + (exponent ? 1 << fraction : 0);
    value = ldexp(value, (exponent ? exponent : 1) - bias - fraction);
    return half & 0x8000 ? -value : value;
}

/* The nearest half, of two equally near the even one: by looking for it. */
static uint16_t encoded(float value, int fraction)
{
    double size = fabs((double)value);
    uint16_t low = 0, high = (uint16_t)(((1 << (15 - fraction)) - 1) << fraction); /* Inf, which counts as the next power of two */
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (decoded(middle, fraction) <= size)
            low = middle;
        else
            high = middle;
    }
    double below = size - decoded(low, fraction), above = decoded(high, fraction) - size;
    uint16_t nearest = isinf(size) || above < below || (above == below && low & 1) ? high : low;
    return (uint16_t)(nearest | (signbit(value) ? 0x8000 : 0));
}

static void fill(enum vs_comm_dtype dtype, void *to, int rank, size_t i)
{
    uint32_t x = random_of(rank, i);
    if (dtype == VS_COMM_fp64)
        *(double *)to = ((double)x - 0x1p31) / 3;
    else if (dtype == VS_COMM_fp32)
        *(float *)to = ((float)x - 0x1p31f) / 3;
    else if (dtype == VS_COMM_bf16) /* all magnitudes near each other, subnormals, and some that overflow */
        *(uint16_t *)to = (uint16_t)((x & 0x807f) | (i % 3 ? 0x3f80 + (x >> 16 & 0x380) : i % 2 ? 0 : 0x7f00));
    else
        *(uint16_t *)to = (uint16_t)((x & 0x83ff) | (i % 3 ? 0x3800 + (x >> 16 & 0x1c00) : i % 2 ? 0 : 0x7800));
}

/* The sum of ranks' element i, in rank order. */
static void summed(enum vs_comm_dtype dtype, void *to, int world, size_t i)
{
    double wide = 0, x64;
    float narrow = 0, x32;
    uint16_t half;
    for (int r = 0; r < world; r++) {
        if (dtype == VS_COMM_fp64) {
            fill(dtype, &x64, r, i);
            wide = r ? wide + x64 : x64;
        } else if (dtype == VS_COMM_fp32) {
            fill(dtype, &x32, r, i);
            narrow = r ? narrow + x32 : x32;
        } else {
            fill(dtype, &half, r, i);
            x32 = (float)decoded(half, dtype == VS_COMM_bf16 ? 7 : 10);
            narrow = r ? narrow + x32 : x32;
        }
    }
    if (dtype == VS_COMM_fp64)
        memcpy(to, &wide, 8);
    else if (dtype == VS_COMM_fp32)
        memcpy(to, &narrow, 4);
    else
        *(uint16_t *)to = encoded(narrow, dtype == VS_COMM_bf16 ? 7 : 10);
}

static const size_t counts[] = {1, 7, 1001, 300001};
#define COUNTS (sizeof counts / sizeof *counts)

/* ---- results ---- */

static void gather(const struct vs_comm_id *id, int rank, int world)
{
    void *c = comm_opened(id, rank, world);
    for (size_t at = 0; at < COUNTS; at++)
        for (int dtype = 0; dtype < VS_COMM_DTYPE_COUNT; dtype++)
            for (int in_place = 0; in_place < 2; in_place++) {
                size_t n = counts[at], size = vs_comm_dtype_bytes((enum vs_comm_dtype)dtype);
                char *recv = calloc((size_t)world * n, size), *send = in_place ? recv + (size_t)rank * n * size : calloc(n, size), want[8];
                for (size_t i = 0; i < n; i++) fill((enum vs_comm_dtype)dtype, send + i * size, rank, i);
                struct vs_comm_part part = {send, recv, n, (enum vs_comm_dtype)dtype};
                MUST(!via->all_gather(c, &part, 1, NULL), "all_gather");
                for (size_t i = 0; i < (size_t)world * n; i++) {
                    fill((enum vs_comm_dtype)dtype, want, (int)(i / n), i % n);
                    MUST(!memcmp(want, recv + i * size, size), "type %d, element %zu of %zu", dtype, i, n);
                }
                if (!in_place) free(send);
                free(recv);
            }
    via->close(c);
}

static void reduce(const struct vs_comm_id *id, int rank, int world)
{
    void *c = comm_opened(id, rank, world);
    for (size_t at = 0; at < COUNTS; at++)
        for (int dtype = 0; dtype < VS_COMM_DTYPE_COUNT; dtype++)
            for (int in_place = 0; in_place < 2; in_place++) {
                size_t n = counts[at], size = vs_comm_dtype_bytes((enum vs_comm_dtype)dtype);
                char *send = calloc(n, size), *recv = in_place ? send : calloc(n, size), want[8];
                for (size_t i = 0; i < n; i++) fill((enum vs_comm_dtype)dtype, send + i * size, rank, i);
                MUST(!via->all_reduce(c, send, recv, n, (enum vs_comm_dtype)dtype, NULL), "all_reduce");
                for (size_t i = 0; i < n; i += n > 2000 ? 37 : 1) { /* looking for a half takes its time */
                    summed((enum vs_comm_dtype)dtype, want, world, i);
                    MUST(!memcmp(want, recv + i * size, size), "type %d, element %zu of %zu", dtype, i, n);
                }
                if (!in_place) free(recv);
                free(send);
            }
    via->close(c);
}

static void exchange(const struct vs_comm_id *id, int rank, int world)
{
    void *c = comm_opened(id, rank, world);
    for (size_t at = 0; at < COUNTS; at++)
        for (int dtype = 0; dtype < VS_COMM_DTYPE_COUNT; dtype++) {
            size_t n = counts[at], size = vs_comm_dtype_bytes((enum vs_comm_dtype)dtype), all = (size_t)world * n;
            char *send = calloc(all, size), *recv = calloc(all, size), want[8];
            for (size_t i = 0; i < all; i++) fill((enum vs_comm_dtype)dtype, send + i * size, rank, i);
            struct vs_comm_part part = {send, recv, n, (enum vs_comm_dtype)dtype};
            MUST(!via->all_to_all(c, &part, 1, NULL), "all_to_all");
            for (size_t i = 0; i < all; i++) { /* what each rank had for this one */
                fill((enum vs_comm_dtype)dtype, want, (int)(i / n), (size_t)rank * n + i % n);
                MUST(!memcmp(want, recv + i * size, size), "type %d, element %zu of %zu", dtype, i, n);
            }
            free(send);
            free(recv);
        }
    via->close(c);
}

static void scatter_one(void *c, enum vs_comm_dtype dtype, size_t n, int in_place, int rank, int world)
{
    size_t size = vs_comm_dtype_bytes(dtype);
    char *send = calloc((size_t)world * n, size), *recv = in_place ? send + (size_t)rank * n * size : calloc(n, size), want[8];
    for (size_t i = 0; i < (size_t)world * n; i++) fill(dtype, send + i * size, rank, i);
    struct vs_comm_part part = {send, recv, n, dtype};
    MUST(!via->reduce_scatter(c, &part, 1, NULL), "reduce_scatter");
    for (size_t i = 0; i < n; i++) {
        summed(dtype, want, world, (size_t)rank * n + i);
        MUST(!memcmp(want, recv + i * size, size), "type %d, element %zu of %zu", (int)dtype, i, n);
    }
    if (!in_place) free(recv);
    free(send);
}

static void scatter(const struct vs_comm_id *id, int rank, int world)
{
    void *c = comm_opened(id, rank, world);
    for (size_t at = 0; at < COUNTS; at++)
        for (int way = 0; way < 4; way++)
            scatter_one(c, way & 1 ? VS_COMM_fp64 : VS_COMM_fp32, counts[at], way >> 1, rank, world);
    via->close(c);
}

START_TEST(test_all_gather)
{
    comm_run(gather, _i);
}
END_TEST

START_TEST(test_all_reduce)
{
    comm_run(reduce, _i);
}
END_TEST

START_TEST(test_all_to_all)
{
    comm_run(exchange, _i);
}
END_TEST

START_TEST(test_reduce_scatter)
{
    comm_run(scatter, _i);
}
END_TEST

/* Several parts, of several types, one of them empty; none at all; and two communicators by turns. */
static void parts(const struct vs_comm_id *id, int rank, int world)
{
    struct vs_comm_id other_id = *id;
    other_id.bytes[0] ^= 1;
    void *c[2] = {comm_opened(id, rank, world), comm_opened(&other_id, rank, world)};
    for (int turn = 0; turn < 6; turn++) {
        float a[3], all_a[12];
        uint16_t b[200000], all_b[4 * 5];
        double sum[2], terms[8];
        for (size_t i = 0; i < 3; i++) fill(VS_COMM_fp32, &a[i], rank + turn, i);
        for (size_t i = 0; i < 5; i++) b[i] = (uint16_t)(100 * rank + turn + (int)i);
        for (int i = 0; i < 2 * world; i++) terms[i] = rank + i;
        struct vs_comm_part gathered[3] = {{a, all_a, 3, VS_COMM_fp32}, {NULL, NULL, 0, VS_COMM_fp64}, {b, all_b, 5, VS_COMM_bf16}};
        struct vs_comm_part reduced[2] = {{terms, sum, 1, VS_COMM_fp64}, {terms + world, sum + 1, 1, VS_COMM_fp64}};
        MUST(!via->all_gather(c[turn % 2], gathered, 3, NULL), "all_gather");
        MUST(!via->all_gather(c[turn % 2], NULL, 0, NULL), "nothing");
        MUST(!via->reduce_scatter(c[(turn + 1) % 2], reduced, 2, NULL), "reduce_scatter");
        for (int r = 0; r < world; r++) {
            float want;
            fill(VS_COMM_fp32, &want, r + turn, 2);
            MUST(all_a[3 * r + 2] == want && all_b[5 * r + 4] == 100 * r + turn + 4, "turn %d, of rank %d", turn, r);
        }
        double ranks = world * (world - 1) / 2.0;
        MUST(sum[0] == ranks + world * rank && sum[1] == ranks + world * (world + rank), "%g %g", sum[0], sum[1]);
        MUST(!via->check(c[turn % 2]), "check");
    }
    via->close(c[1]);
    via->close(c[0]);
}

START_TEST(test_parts_and_turns)
{
    comm_run(parts, _i);
}
END_TEST

START_TEST(test_invalid)
{
    struct vs_comm_id id;
    double x = 0;
    void *c;
    ck_assert_int_eq(via->make_id(&id), 0);
    ck_assert_int_eq(via->open(&id, 1, 1, "test", &c), -EINVAL);
    ck_assert_ptr_null(c);
    ck_assert_int_eq(via->open(&id, 0, 100000, "test", &c), -EINVAL);
    ck_assert_int_eq(via->open(&id, 0, 1, "test", &c), 0);
    struct vs_comm_part wrong[] = {
        {NULL, &x, 1, VS_COMM_fp32}, {&x, NULL, 1, VS_COMM_fp32}, {&x, &x, SIZE_MAX / 4, VS_COMM_fp64}, {&x, &x, 1, VS_COMM_DTYPE_COUNT}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) ck_assert_int_eq(via->all_gather(c, &wrong[i], 1, NULL), -EINVAL);
    struct vs_comm_part half = {&x, &x, 1, VS_COMM_bf16};
    ck_assert_int_eq(via->reduce_scatter(c, &half, 1, NULL), -EINVAL);
    ck_assert_ptr_nonnull(strstr(via->last_error(), "fp32 and fp64"));
    ck_assert_int_eq(via->check(c), 0); /* nothing was begun */
    ck_assert_int_eq(via->all_reduce(c, &x, &x, 1, VS_COMM_fp64, NULL), 0);
    via->close(c);
}
END_TEST

/* ---- recorded ---- */

START_TEST(test_recorded_as_collectives)
{
    struct recording r;
    const char *argv[] = {"comm_ranks", "3", NULL};
    recording_begin(&r, "comm_ranks");
    recording_run(&r, argv, NULL);
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    ck_assert_str_eq(r.err, "");
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_str_eq(recording_text(&r, "SELECT group_concat(rank || ' of ' || nranks || ' ' || ended, ', ') FROM "
                                        "(SELECT * FROM communicator ORDER BY rank)"),
                     "0 of 3 destroy, 1 of 3 destroy, 2 of 3 destroy");
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(DISTINCT hash) FROM communicator WHERE hash IS NOT NULL"), 1);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(DISTINCT process_id) FROM communicator"), 3);
    for (int rank = 0; rank < 3; rank++)
        ck_assert_str_eq(recording_text(&r, "SELECT group_concat(sequence || ' ' || op || ' ' || bytes || ' ' || ifnull(redop, '-'), ', ') "
                                            "FROM (SELECT l.* FROM collective l JOIN communicator c ON c.id = l.communicator_id "
                                            "WHERE c.rank = %d ORDER BY sequence)", rank),
                         "0 all_gather 400 -, 1 reduce_scatter 64 sum, 2 reduce_scatter 24 sum, 3 all_reduce 20 sum");
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM collective WHERE origin = 'nvtx' AND end_ns >= begin_ns"), 12);
    /* Rank 0 comes 100 ms late: the others' call lasts that long. */
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM collective l JOIN communicator c ON c.id = l.communicator_id "
                                       "WHERE c.rank > 0 AND sequence = 0 AND l.end_ns - l.begin_ns >= 50000000"), 2);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM range"), 0);
    recording_end(&r);
}
END_TEST

Suite *make_comm_suite(void)
{
    Suite *s = suite_create("comm");
    TCase *results = tcase_create("comm_results");
    tcase_set_timeout(results, 60);
    tcase_add_loop_test(results, test_all_gather, 1, 5);
    tcase_add_loop_test(results, test_all_reduce, 1, 5);
    tcase_add_loop_test(results, test_all_to_all, 1, 5);
    tcase_add_loop_test(results, test_reduce_scatter, 1, 5);
    tcase_add_loop_test(results, test_parts_and_turns, 1, 5);
    tcase_add_test(results, test_invalid);
    tcase_add_test(results, test_recorded_as_collectives);
    suite_add_tcase(s, results);
    return s;
}
