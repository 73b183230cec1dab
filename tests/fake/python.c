/* SPDX-License-Identifier: MIT
 *
 * fake/python.c: stand-in for an interpreter: the few symbols by which one is found and asked. What it says is set by the
 * program that links it, which lays out thread states and frames itself; nothing here is an interpreter.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED unsigned long Py_Version; /* 0x030c06f0 for 3.12.6 */
EXPORTED uint64_t _PyRuntime[512];
EXPORTED uint64_t PyCode_Type[64], PyUnicode_Type[64], PyBytes_Type[64];
EXPORTED void *fake_python_state;   /* of every thread */
EXPORTED void *fake_python_holder;  /* of the GIL */
EXPORTED int fake_python_ending, fake_python_begun, fake_python_asked;

EXPORTED const char *Py_GetVersion(void);
const char *Py_GetVersion(void)
{
    static char text[16];
    snprintf(text, sizeof text, "%lu.%lu.0", Py_Version >> 24, Py_Version >> 16 & 255);
    return text;
}

EXPORTED int Py_IsInitialized(void);
int Py_IsInitialized(void)
{
    return __atomic_load_n(&fake_python_begun, __ATOMIC_ACQUIRE);
}

EXPORTED int _Py_IsFinalizing(void);
int _Py_IsFinalizing(void)
{
    return fake_python_ending;
}

EXPORTED void *PyGILState_GetThisThreadState(void);
void *PyGILState_GetThisThreadState(void)
{
    __atomic_store_n(&fake_python_asked, 1, __ATOMIC_RELEASE);
    return fake_python_state;
}

EXPORTED void *_PyThreadState_UncheckedGet(void);
void *_PyThreadState_UncheckedGet(void)
{
    return fake_python_holder;
}
