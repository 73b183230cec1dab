/* SPDX-License-Identifier: MIT
 *
 * experiments.h: the figures and the summary of a folder of experiments (`vramscope suite`): reads every *_result.json.
 *
 * Writes memory_breakdown_comparison, memory_timeline, performance_tradeoff, time_vs_seq_length and
 * memory_vs_seq_length, each as .png and .svg, and summary.txt, which needs no gnuplot. A result that is broken or of an
 * experiment that failed is left out, said on stderr unless quiet, and listed in summary.txt.
 *
 * Ownership: borrows everything. Threading: single thread; it forks gnuplot and waits for it.
 * Errors: -ENODATA no result to draw, else as plot.h.
 */
#ifndef VS_VIZ_EXPERIMENTS_H
#define VS_VIZ_EXPERIMENTS_H

#include "plot.h"

#ifdef __cplusplus
extern "C" {
#endif

/* output_dir is made when it is missing; its parent must be there. how may be NULL. */
int vs_plot_experiments(const char *input_dir, const char *output_dir, const struct vs_plot_options *how,
                        struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif
