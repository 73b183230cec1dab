/* SPDX-License-Identifier: MIT
 *
 * norms_case.h: inputs of the per-sample norms in every element type, and one call on a GPU with all the fences around it:
 * what lies before and behind each output and behind the workspace must stay as it was.
 */
#ifndef VS_TESTS_NORMS_CASE_H
#define VS_TESTS_NORMS_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/device.h"

struct norms_gpu {
    const struct vs_device *device;
    void *context;
    char *workspace; /* one for all calls of a test, cleared once: what norms.h allows */
    size_t workspace_bytes;
    char trouble[4096]; /* what went wrong so far, a line each */
};

/* false: there is no GPU here, and it has said so. */
bool norms_gpu_open(struct norms_gpu *g);
/* Fails the test with all that went wrong. */
void norms_gpu_close(struct norms_gpu *g);
__attribute__((format(printf, 2, 3))) void norms_trouble(struct norms_gpu *g, const char *format, ...);

struct norms_shape {
    size_t B, T, d, p;
};

/* One layer's inputs in the element type, on the host and on the GPU. */
struct norms_input {
    struct vs_norms_layer host, gpu; /* A, G and the shape */
    void *memory[2];                 /* what gpu.A and gpu.G lie in */
};

double norms_random(uint64_t *state); /* in [-1, 1) */
/* The nearest value that the type can hold; for tf32 one that its multiplication takes as it is. */
float norms_round(enum vs_norms_dtype dtype, double value);
double norms_get(enum vs_norms_dtype dtype, const void *X, size_t i);
/* Of a value as norms_round gives it, or one that is not finite. */
void norms_put(enum vs_norms_dtype dtype, void *X, size_t i, float value);

/* Random; then upload, with the GPU's copy `offset` elements into an aligned block. */
void norms_input_make(enum vs_norms_dtype dtype, const struct norms_shape *shape, uint64_t seed, struct norms_input *in);
void norms_input_upload(struct norms_gpu *g, enum vs_norms_dtype dtype, size_t offset, struct norms_input *in);
void norms_input_drop(struct norms_gpu *g, struct norms_input *in);

enum norms_how { NORMS_EAGER, NORMS_REPLAYED, NORMS_SHORT /* one byte of workspace too little */ };

struct norms_answer {
    double *n, *absolute; /* of all layers, one after the other; to be freed */
    size_t samples;
    unsigned recomputed;
};

/* Runs on the GPU's layers, with at least `offered` bytes of workspace. A broken fence is trouble. */
int norms_gpu_run(struct norms_gpu *g, const char *name, enum vs_norms_dtype dtype, const struct vs_norms_layer *layers,
                  size_t count, size_t offered, enum norms_how how, struct norms_answer *answer);
void norms_answer_drop(struct norms_answer *answer);

/* n of one layer by the float64 oracle: on the CPU when that is quick, else on the GPU; B values, to be freed. */
double *norms_oracle(struct norms_gpu *g, enum vs_norms_dtype dtype, const struct norms_input *in);
bool norms_quick_on_cpu(const struct vs_norms_layer *shape);

#endif
