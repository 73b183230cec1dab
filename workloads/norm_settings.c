/* SPDX-License-Identifier: MIT
 *
 * norm_settings.c: options, defaults and refusals. Whatever can be known before anything runs is refused here.
 */
#include "workloads/norm_settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WHAT                                                                                                           \
    "squared norms of the gradient of every sample, n_b = ||G_b^T A_b||^2, for A [B,T,d] and G [B,T,p]\n\n"            \
    "  example: vramscope-workload norms --T 1024,4096 --d 1024 --p 1024 --algo gram_full,gram,auto --check\n"         \
    "           vramscope-workload norms --layers gpt2-large --B 1 --T 1024 --device cuda"
#define ID_WORD(id, ...)         " " #id
#define NAME_WORD(id, name, ...) " " name
#define ALGORITHMS               VS_NORMS_ALGORITHMS(ID_WORD)
#define DTYPES                   VS_NORMS_DTYPES(ID_WORD)
#define PRESETS                  VS_NORM_PRESETS(NAME_WORD)
#define POISONS                  VS_NORM_POISONS(NAME_WORD)

static int refuse_word(const char *what, const char *word, const char *known)
{
    char shown[256];
    fprintf(stderr, "norms: there is no %s '%s':%s\n", what, vs_option_shown(word, shown, sizeof shown), known);
    return 2;
}

static int twice(const char *option)
{
    fprintf(stderr, "norms: %s names the same thing twice, and no result could be told from the other\n", option);
    return 2;
}

static int check_texts(const struct vs_texts *list, const char *option, const char *what, bool (*known)(const char *),
                       const char *all)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!known(list->value[i])) return refuse_word(what, list->value[i], all);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(list->value[i], list->value[k])) return twice(option);
    }
    return 0;
}

static int check_sizes(const struct vs_sizes *list, const char *option)
{
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < i; k++)
            if (list->value[i] == list->value[k]) return twice(option);
    return 0;
}

static bool is_algorithm(const char *name)
{
    return vs_norms_cpu(name) != NULL; /* one list for all devices */
}

static bool is_dtype(const char *name)
{
    return vs_norms_dtype_find(name) >= 0;
}

static bool find_poison(const char *name, enum vs_norm_poison *out)
{
#define X(id, word, in_G, is_nan)                                                                                      \
    if (!strcmp(name, word)) return *out = VS_NORM_##id, true;
    VS_NORM_POISONS(X)
#undef X
    return false;
}

static int check(struct vs_norm_settings *s, const char *poison)
{
    struct vs_norm_list list;
    if (strcmp(s->device, "auto") && strcmp(s->device, "cpu") && strcmp(s->device, "cuda"))
        return refuse_word("device", s->device, " auto cpu cuda");
    if (poison && !find_poison(poison, &s->poison)) return refuse_word("poison", poison, POISONS);
    if (s->preset && !vs_norm_list_preset(&list, s->preset, 1, 1))
        return refuse_word("list of layers", s->preset, PRESETS);
    if (s->preset && (s->d.count || s->p.count)) {
        fprintf(stderr, "norms: --layers %s says what d and p are: leave out --d and --p\n", s->preset);
        return 2;
    }
    if (s->iterations > 1000000) {
        fprintf(stderr, "norms: --iterations is a number up to 1000000; 0: as many as --seconds allow\n");
        return 2;
    }
    int err = check_texts(&s->algorithms, "--algo", "algorithm", is_algorithm, ALGORITHMS);
    if (!err) err = check_texts(&s->dtypes, "--dtype", "element type", is_dtype, DTYPES);
    if (!err) err = check_sizes(&s->B, "--B");
    if (!err) err = check_sizes(&s->T, "--T");
    if (!err) err = check_sizes(&s->d, "--d");
    return err ? err : check_sizes(&s->p, "--p");
}

int vs_norm_settings_parse(struct vs_norm_settings *s, int argc, char **argv)
{
    const char *poison = NULL;
    *s = (struct vs_norm_settings){
        .device = "auto",
        .B = {1, {2}},
        .T = {3, {512, 1024, 2048}},
        .algorithms = {.count = 5, .value = {"gram_full", "gram", "direct", "materialize", "auto"}},
        .seconds = 0.3};
    const struct vs_option table[] = {
        {"device", VS_OPTION_TEXT, &s->device, "auto|cpu|cuda", "where to run (auto: a GPU if there is one)"},
        {"dtype", VS_OPTION_TEXTS, &s->dtypes, "NAME,...", "element types:" DTYPES " (fp32; on a GPU bf16)"},
        {"algo", VS_OPTION_TEXTS, &s->algorithms, "NAME,...", "algorithms:" ALGORITHMS " (all but reference)"},
        {"T", VS_OPTION_SIZES, &s->T, "N,...", "rows (tokens) per sample (512,1024,2048)"},
        {"d", VS_OPTION_SIZES, &s->d, "N,...", "inputs of the layer (512; on a GPU 2048)"},
        {"p", VS_OPTION_SIZES, &s->p, "N,...", "outputs of the layer (512; on a GPU 2048)"},
        {"B", VS_OPTION_SIZES, &s->B, "N,...", "samples (2)"},
        {"layers", VS_OPTION_TEXT, &s->preset, "NAME", "instead of d and p, as one call and layer by layer:" PRESETS},
        {"iterations", VS_OPTION_COUNT, &s->iterations, "N",
         "timed runs of each algorithm on each case (0: by --seconds)"},
        {"seconds", VS_OPTION_NUMBER, &s->seconds, "S",
         "of timed runs of each algorithm on each case, 2000 at most (0.3)"},
        {"seed", VS_OPTION_COUNT, &s->seed, "N", "of the random inputs"},
        {"check", VS_OPTION_FLAG, &s->check, NULL,
         "exit 1 when an error against float64 is unknown or beyond the bound"},
        {"bound", VS_OPTION_NUMBER, &s->bound, "X", "allow this relative error instead of the element type's"},
        {"kappa", VS_OPTION_FLAG, &s->kappa, NULL, "measure how much the terms of the Gram sums cancel"},
        {"poison", VS_OPTION_TEXT, &poison, "nan|inf|nan-g|inf-g",
         "put one into sample 0 of A, or of G: its norm, and no other, must show it"},
        {"results", VS_OPTION_TEXT, &s->results, "FILE", "write a row of CSV for each result to this new file"},
        {0},
    };
    int err = vs_options_parse(table, argc, argv, WHAT);
    return err ? err : check(s, poison);
}

int vs_norm_settings_visit(const struct vs_norm_settings *s, int (*visit)(void *, const struct vs_norm_list *),
                           void *state)
{
    struct vs_norm_list list;
    size_t widths = s->preset ? 1 : s->d.count * s->p.count;
    int err = 0;
    for (size_t b = 0; b < s->B.count; b++)
        for (size_t w = 0; w < widths; w++)
            for (size_t t = 0; !err && t < s->T.count; t++) {
                if (s->preset) vs_norm_list_preset(&list, s->preset, s->B.value[b], s->T.value[t]);
                else
                    vs_norm_list_one(&list, s->B.value[b], s->T.value[t], s->d.value[w / s->p.count],
                                     s->p.value[w % s->p.count]);
                err = visit(state, &list);
            }
    return err;
}

static int check_list(void *state, const struct vs_norm_list *list)
{
    char text[128];
    int err = vs_norm_list_check(list, VS_NORMS_fp32);
    (void)state;
    if (!err) return 0;
    fprintf(stderr, "norms: BxT%s %s: %s\n", list->preset ? "" : "xdxp", vs_norm_list_text(list, text, sizeof text),
            err == -EOVERFLOW ? "too large to be addressed" : "every size must be at least 1");
    return 2;
}

int vs_norm_settings_complete(struct vs_norm_settings *s, const struct vs_device *device)
{
    bool gpu = device != vs_device_cpu();
    const struct vs_sizes width = {1, {gpu ? 2048 : 512}};
    if (!s->d.count) s->d = width;
    if (!s->p.count) s->p = width;
    if (!s->dtypes.count) s->dtypes = (struct vs_texts){.count = 1, .value = {gpu ? "bf16" : "fp32"}};
    return vs_norm_settings_visit(s, check_list, NULL);
}
