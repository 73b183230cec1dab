/* SPDX-License-Identifier: MIT
 *
 * experiment_folder.c: results and runs by their names.
 */
#include "experiment_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_result(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name), suffix = sizeof VS_RESULT_SUFFIX - 1;
    return entry->d_name[0] != '.' && n > suffix && !strcmp(entry->d_name + n - suffix, VS_RESULT_SUFFIX);
}

static int is_run(const struct dirent *entry)
{
    static const char shape[] = VS_RUN_PREFIX "dddddddd_dddddd";
    const char *name = entry->d_name;
    size_t i;
    for (i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? name[i] < '0' || name[i] > '9' : name[i] != shape[i]) return 0;
    return !name[i] || name[i] == '_';
}

int vs_experiment_files(const char *folder, struct vs_experiment_files *out)
{
    struct dirent **found = NULL;
    int n = scandir(folder, &found, is_result, versionsort), lost = 0;
    *out = (struct vs_experiment_files){NULL, 0};
    if (n < 0) return -errno;
    out->name = calloc((size_t)n + 1, sizeof *out->name);
    for (int i = 0; i < n; i++) {
        if (out->name && (out->name[i] = strdup(found[i]->d_name))) out->count = i + 1;
        else lost = 1;
        free(found[i]);
    }
    free(found);
    if (out->name && !lost) return 0;
    vs_experiment_files_free(out);
    return -ENOMEM;
}

void vs_experiment_files_free(struct vs_experiment_files *files)
{
    for (int i = 0; i < files->count; i++) free(files->name[i]);
    free(files->name);
    *files = (struct vs_experiment_files){NULL, 0};
}

int vs_experiment_newest_run(const char *folder, char out[256])
{
    struct dirent **found = NULL;
    int n = scandir(folder, &found, is_run, versionsort);
    out[0] = 0;
    if (n < 0) return -errno;
    if (n > 0) snprintf(out, 256, "%s", found[n - 1]->d_name);
    for (int i = 0; i < n; i++) free(found[i]);
    free(found);
    return 0;
}
