/* SPDX-License-Identifier: MIT
 *
 * experiments_set.h: what the results of a folder of experiments say, in the order in which every figure shows them.
 *
 * A number that a result does not have is NAN, never 0. MB is 2^20 bytes.
 *
 * Ownership: vs_experiments_free frees (NULL-safe). Threading: none.
 * Errors: -ENODATA no result is left, -EIO, -ENOMEM, or -errno of the folder; with a text.
 */
#ifndef VS_VIZ_EXPERIMENTS_SET_H
#define VS_VIZ_EXPERIMENTS_SET_H

#include "../db/error.h"
#include "label.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, key of the breakdown, what to call it, colour): from the beginning of a bar. */
#define VS_EXPERIMENT_PARTS(X)                                                                                         \
    X(PARAMETERS, "model_parameters_mb", "model parameters", 0x3498db)                                                 \
    X(OPTIMIZER, "optimizer_states_mb", "optimizer state", 0xe74c3c)                                                   \
    X(GRADIENTS, "gradients_mb", "gradients", 0xf39c12)                                                                \
    X(ACTIVATIONS, "activation_hooks_mb", "activations", 0x9b59b6)                                                     \
    X(NORMS, "norm_samples_mb", "per-sample norms", 0x1abc9c)                                                          \
    X(OTHER, "temp_matrices_mb", "workspace and temporary", 0x34495e)

/* X(name, where it is, what stands before it, 1: every figure says it): what two experiments must have alike, but for T, to
 * be compared with each other. */
#define VS_EXPERIMENT_SETTINGS(X)                                                                                      \
    X(LAYERS, "$.config.num_layers", "layers ", 1)                                                                     \
    X(HIDDEN, "$.config.hidden_dim", "hidden ", 1)                                                                     \
    X(VOCABULARY, "$.config.vocab_size", "vocabulary ", 1)                                                             \
    X(BATCH, "$.config.batch_size", "B=", 1)                                                                           \
    X(DTYPE, "$.dtype", "", 1)                                                                                         \
    X(ADAM, "$.optimizer", "optimizer ", 1)                                                                            \
    X(DEVICE, "$.device_name", "", 1)                                                                                  \
    X(KIND, "$.device", "", 0)                                                                                         \
    X(HEADS, "$.config.num_heads", "heads ", 0)                                                                        \
    X(KV_HEADS, "$.config.num_kv_heads", "kv heads ", 0)                                                               \
    X(FFN, "$.config.ffn_dim", "ffn ", 0)                                                                              \
    X(SEED, "$.seed", "seed ", 0)                                                                                      \
    X(TRACE, "$.trace", "trace ", 0)

#define X(name, ...) VS_PART_##name,
enum vs_experiment_part { VS_EXPERIMENT_PARTS(X) VS_PARTS };
#undef X
#define X(name, ...) VS_SETTING_##name,
enum vs_experiment_setting { VS_EXPERIMENT_SETTINGS(X) VS_SETTINGS };
#undef X

struct vs_experiment_part_look {
    const char *name;
    unsigned rgb;
};
extern const struct vs_experiment_part_look vs_experiment_parts[VS_PARTS];

struct vs_experiment_snapshot {
    char name[VS_LABEL_SIZE];
    double allocated_mb, reserved_mb, highest_mb; /* highest so far */
};

struct vs_experiment_row { /* of the breakdown as it stands */
    char key[VS_LABEL_SIZE];
    double mb;
};

enum { VS_SETTING_SIZE = 4 * 40 + 4 };

struct vs_experiment {
    char file[VS_LABEL_SIZE], experiment[VS_LABEL_SIZE], semantics[VS_LABEL_SIZE], name[2 * VS_LABEL_SIZE];
    char setting[VS_SETTINGS][VS_SETTING_SIZE];
    int rank, method; /* place in the order of figures; among the methods of this folder */
    int baseline;     /* 1: a step without DP */
    double T, peak_mb, time_ms, part_mb[VS_PARTS];
    int has_parts;
    struct vs_experiment_snapshot *snapshot;
    struct vs_experiment_row *row; /* the largest first */
    int snapshots, rows;
};

struct vs_experiment_left_out {
    char file[VS_LABEL_SIZE], reason[2 * VS_LABEL_SIZE];
};

enum { VS_EXPERIMENTS_SHOWN = 15 }; /* methods in a figure */

struct vs_experiments {
    struct vs_experiment *item;
    struct vs_experiment_left_out *left_out;
    int count, left, methods, shown; /* methods in the figures: the first ones */
    double *T;                       /* rising, those that some result has */
    int lengths, one;                /* one: which T the figures of a single one are of; -1: it is not known */
    char about[640];                 /* what all results have alike */
};

int vs_experiments_load(const char *dir, struct vs_experiments *out, struct vs_error *e);
void vs_experiments_free(struct vs_experiments *s);
/* Fills name, method, T and about, and puts the results in order. */
int vs_experiments_arrange(struct vs_experiments *s, struct vs_error *e);

/* All settings but T are the same. */
int vs_experiment_alike(const struct vs_experiment *x, const struct vs_experiment *y);
/* The step without DP of the same T and settings; NULL: none. */
const struct vs_experiment *vs_experiment_baseline(const struct vs_experiments *s, const struct vs_experiment *x);
/* Of a method at one T; NULL: none. */
const struct vs_experiment *vs_experiment_at(const struct vs_experiments *s, int method, double T);
const struct vs_experiment *vs_experiment_of_method(const struct vs_experiments *s, int method);
/* Of the same T as the figures of a single one. */
int vs_experiment_is_shown(const struct vs_experiments *s, const struct vs_experiment *x);
unsigned vs_experiment_color(const struct vs_experiments *s, int method);
/* Those known by their names, then others by the mode they run. */
int vs_experiment_rank(const char *name, const char *mode);

/* "43408 MB", "1.25 ms": fewer digits the larger it is */
void vs_experiment_mb(char *out, size_t size, double mb);
void vs_experiment_ms(char *out, size_t size, double ms);

#ifdef __cplusplus
}
#endif

#endif
