/* SPDX-License-Identifier: MIT
 *
 * export.h: marks a symbol that other libraries bind to. Everything else is hidden. exports.map lists them all.
 */
#ifndef VS_PROFILER_EXPORT_H
#define VS_PROFILER_EXPORT_H

#define VS_EXPORT __attribute__((visibility("default")))
#define VS_HIDDEN __attribute__((visibility("hidden")))

/* Runs before a sanitizer's runtime is ready, which looks up what it replaces with our dlsym. */
#define VS_EARLY __attribute__((no_sanitize("address", "thread", "undefined")))

#endif
