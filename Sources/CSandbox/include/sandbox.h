/*
 * sandbox.h: how a worker gives up, for good, everything a plugin does not need. Linux on x86-64 and aarch64.
 *
 * Afterwards the process opens a short list of system files for reading and nothing else, starts no process, listens
 * nowhere, connects nowhere by itself (the daemon's broker connects its TCP sockets), and cannot undo any of it.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdint.h>

#include "worker_protocol.h"

/* As rtw_lockdown.landlock_abi_cap: behave as on a kernel without Landlock (a test switch). */
#define SANDBOX_NO_LANDLOCK 0xffffffffu

/* What came of it. */
typedef struct sandbox_report {
    uint32_t layers;       /* rtw_layer bits in force */
    uint32_t landlock_abi; /* 0 if Landlock is not in force */
    char failure[256];     /* which layer failed and why; empty if all that are required are in force */
} sandbox_report;

/*
 * Locks the calling process down. Call it once, from the only thread, before any plugin is loaded: constructors run
 * locked down too. Needs no file and no memory of the caller afterwards.
 *
 * Returns 0, or -1 with report->failure set; then the process is in between and should end. With
 * `lockdown->best_effort` Landlock and seccomp may be missing from the kernel; whatever else fails is fatal all the same.
 */
int sandbox_lock_down(const rtw_lockdown *lockdown, sandbox_report *report);

#endif
