/* SPDX-License-Identifier: MIT
 *
 * train_copy.c: a trainer's arrays on the host, compared and written.
 */
#include "workloads/train_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workloads/trainer_shard.h"

/* Within a unit, as the model applies them. */
static const enum vs_train_tensor order[] = {
    VS_TENSOR_TOKEN, VS_TENSOR_POSITION,   VS_TENSOR_NORM1, VS_TENSOR_NORM1_BETA, VS_TENSOR_QKV,  VS_TENSOR_O,        VS_TENSOR_NORM2,
    VS_TENSOR_NORM2_BETA, VS_TENSOR_UP,    VS_TENSOR_UP_BIAS, VS_TENSOR_DOWN,     VS_TENSOR_DOWN_BIAS, VS_TENSOR_NORM_END, VS_TENSOR_HEAD};
_Static_assert(sizeof order / sizeof *order == VS_TRAIN_TENSORS_COUNT, "a tensor has no place in a copy");

int vs_train_copy_open(struct vs_train_copy *c, const struct vs_trainer *t)
{
    c->element = vs_train_W(t);
    c->bytes = t->layout.parameters * c->element;
    c->data = calloc(1, c->bytes);
    c->owned = calloc(t->layout.parameters, sizeof *c->owned);
    return c->data && c->owned ? 0 : -ENOMEM;
}

void vs_train_copy_free(struct vs_train_copy *c)
{
    free(c->data);
    free(c->owned);
    c->data = NULL;
    c->owned = NULL;
}

int vs_train_copy_unit(struct vs_train_copy *c, struct vs_trainer *t, size_t unit, const void *array, bool packed)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    struct vs_train_part own[VS_TRAIN_PARTS];
    size_t parts = vs_train_own(t, unit, own);
    size_t before = unit == 0 ? 0 : t->layout.kind[VS_UNIT_EMBEDDING].exact + (unit - 1) * t->layout.kind[VS_UNIT_BLOCK].exact;
    int err = t->device->wait(t->on.stream);
    for (size_t i = 0; !err && i < VS_TRAIN_TENSORS_COUNT; i++) {
        const struct vs_train_place *p = &u->tensor[order[i]];
        for (size_t k = 0; !err && k < parts; k++) {
            struct vs_train_part in = vs_train_part_in(&own[k], p);
            size_t to = before + in.first - p->offset;
            size_t from = packed ? in.at : vs_shard_gradient_at(t, unit, k) + in.first - own[k].first;
            if (!in.count) continue;
            err = t->device->download(c->data + to * c->element, (const char *)array + from * c->element, in.count * c->element);
            memset(c->owned + to, true, in.count);
        }
        before += p->rows * p->columns;
    }
    return err;
}

int vs_train_copy_weights(struct vs_train_copy *c, struct vs_trainer *t)
{
    int err = 0;
    for (size_t u = 0; !err && u < t->layout.units; u++) err = vs_train_copy_unit(c, t, u, t->unit[u].weight, true);
    return err;
}

int vs_train_copy_gradient(void *state, struct vs_trainer *t, size_t unit)
{
    return vs_train_copy_unit(state, t, unit, t->unit[unit].gradient, false);
}

static double value(const struct vs_train_copy *c, size_t i)
{
    double wide;
    float narrow;
    if (c->element == sizeof wide) {
        memcpy(&wide, c->data + i * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, c->data + i * sizeof narrow, sizeof narrow);
    return (double)narrow;
}

double vs_train_copy_length(const struct vs_train_copy *a)
{
    double sum = 0;
    for (size_t i = 0; i < a->bytes / a->element; i++) sum += value(a, i) * value(a, i);
    return sqrt(sum);
}

void vs_train_copy_subtract(struct vs_train_copy *a, const struct vs_train_copy *b)
{
    for (size_t i = 0; i < a->bytes / a->element; i++) {
        double wide = value(a, i) - value(b, i);
        float narrow = (float)wide;
        memcpy(a->data + i * a->element, a->element == sizeof wide ? (const void *)&wide : &narrow, a->element);
    }
}

void vs_train_copy_squares(const struct vs_train_copy *a, const struct vs_train_copy *b, double *difference, double *length)
{
    *difference = *length = 0;
    for (size_t i = 0; i < a->bytes / a->element; i++) {
        double d = value(a, i) - value(b, i);
        if (!a->owned[i] || !b->owned[i]) continue;
        *difference += d * d;
        *length += value(b, i) * value(b, i);
    }
}

double vs_train_copy_difference(const struct vs_train_copy *a, const struct vs_train_copy *b)
{
    double difference, length;
    vs_train_copy_squares(a, b, &difference, &length);
    return difference == 0 ? 0 : sqrt(difference) / sqrt(length);
}

int vs_train_copy_write(const struct vs_train_copy *c, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int err = fd < 0 ? -errno : 0;
    for (size_t at = 0; !err && at < c->bytes;) {
        ssize_t n = write(fd, c->data + at, c->bytes - at);
        if (n > 0) at += (size_t)n;
        else if (n == 0 || errno != EINTR) err = n ? -errno : -EIO;
    }
    if (fd >= 0 && close(fd) && !err) err = -errno;
    return err;
}
