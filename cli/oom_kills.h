/* SPDX-License-Identifier: MIT
 *
 * oom_kills.h: how many processes the kernel has killed for lack of memory in the memory cgroup we are in. Must never be
 * taken for a proof that a certain process was one of them.
 */
#ifndef VS_CLI_OOM_KILLS_H
#define VS_CLI_OOM_KILLS_H

long long vs_oom_kills(void); /* -1: not known */

#endif
