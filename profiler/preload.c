/* SPDX-License-Identifier: MIT
 *
 * preload.c: what runs when the library is loaded, when the CUDA driver asks for it, and when the process ends.
 * The constructor must do nothing but read its environment and set variables: most processes never use a GPU.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "activate.h"
#include "config.h"
#include "cupti.h"
#include "driver.h"
#include "export.h"
#include "helper.h"
#include "log.h"
#include "lookup.h"
#include "say.h"
#include "state.h"

VS_EXPORT int InitializeInjection(void);

static const char *const injection_variables[] = {"CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH"};

/* The run's folder is named by its first process and inherited by the others; it is made when one becomes active. */
static void name_the_run(void)
{
    const struct vs_config *config = vs_config();
    char path[1024], name[64], pid[16], date[32], out[700];
    time_t now = time(NULL);
    struct tm tm;
    char *p;

    if (config->run[0])
        return;
    if (config->out[0] == '/') {
        snprintf(out, sizeof out, "%s", config->out);
    } else {
        if (!getcwd(out, sizeof out - 1))
            snprintf(out, sizeof out, "/tmp");
        if (config->out[0])
            snprintf(out + strlen(out), sizeof out - strlen(out), "/%s", config->out);
    }
    snprintf(name, sizeof name, "%.40s", program_invocation_short_name ? program_invocation_short_name : "program");
    for (p = name; *p; p++)
        if (*p == '/' || *p < ' ')
            *p = '_';
    localtime_r(&now, &tm);
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", &tm);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    snprintf(path, sizeof path, "%s/vramscope-%s-%s-%s", out, name, date, pid);
    setenv("VRAMSCOPE_RUN", path, 1);
    setenv("VRAMSCOPE_RUN_ROOT", pid, 1);
    vs_config_read();
}

__attribute__((constructor)) static void constructed(void)
{
    Dl_info self;
    size_t i;
    int saved = errno;

    vs_config_read();
    vs_activate_constructed();
    vs_log_constructed();
    name_the_run();
    if (dladdr(__extension__(void *)constructed, &self) && self.dli_fname) {
        char path[1024];
        if (!realpath(self.dli_fname, path))
            snprintf(path, sizeof path, "%s", self.dli_fname);
        for (i = 0; i < sizeof injection_variables / sizeof *injection_variables; i++)
            setenv(injection_variables[i], path, 0);
    }
    errno = saved;
}

/* Called by libcuda inside cuInit, once. From here on its functions can be called, and our exit handler runs before the
 * driver's own (handlers run in the reverse order of their registration). */
int InitializeInjection(void)
{
    int saved = errno;
    vs_log_wanted();
    if (vs_log_active() || vs_activate()) {
        vs_driver_attached();
        vs_cupti_attach_early();
        atexit(vs_activate_stop_sources);
    }
    errno = saved;
    return 1;
}

/* The process that began the run says where it is, unless `vramscope run` will. */
static void say_next_command(void)
{
    const struct vs_config *config = vs_config();
    if (config->quiet || atoi(config->run_root) != (int)getpid() || access(config->run, F_OK))
        return;
    vs_say(VS_SAY_SILENT, "recorded in %s\nvramscope: next: vramscope report %s", config->run, config->run);
}

/* _exit skips destructors; Python's os._exit, which ends every multiprocessing worker, is such a call. Not in a vfork
 * child: it shares our memory and is not this process. */
static void end_without_destructors(int status)
{
    if (!vs_log_active() || vs_state->control->pid != (uint32_t)syscall(SYS_getpid))
        return;
    vs_note_exit_status(status);
    vs_activate_end();
}

VS_EXPORT __attribute__((noreturn)) void _exit(int status)
{
    end_without_destructors(status);
    for (;;)
        syscall(SYS_exit_group, status);
}

VS_EXPORT __attribute__((noreturn)) void _Exit(int status)
{
    _exit(status);
}

__attribute__((destructor)) static void destructed(void)
{
    int saved = errno;
    vs_activate_end();
    say_next_command();
    errno = saved;
}
