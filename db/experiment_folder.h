/* SPDX-License-Identifier: MIT
 *
 * experiment_folder.h: what a suite leaves in folders: results in a run's folder, runs in the folder above. It reads names alone.
 *
 * Ownership: a list is the caller's until freed, which accepts an empty one. Threading: none. Errors: -errno, no text.
 */
#ifndef VS_DB_EXPERIMENT_FOLDER_H
#define VS_DB_EXPERIMENT_FOLDER_H

#define VS_RUN_PREFIX    "run_"
#define VS_RESULT_SUFFIX "_result.json"

struct vs_experiment_files {
    char **name; /* sorted, numbers by their value */
    int count;
};

int vs_experiment_files(const char *folder, struct vs_experiment_files *out);
void vs_experiment_files_free(struct vs_experiment_files *files);

/* The name of the last run_YYYYMMDD_HHMMSS[_n]; "": there is none. */
int vs_experiment_newest_run(const char *folder, char out[256]);

#endif
