/* The order in which the layers are put in force; each one still has the rights that it needs itself. */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "layers.h"

#define STAY 0xffffffffu

static int failed(sandbox_report *report, const char *layer) {
    snprintf(report->failure, sizeof report->failure, "%s: %s", layer, strerror(errno));
    return -1;
}

static int is_complete(const rtw_lockdown *lockdown) {
    return lockdown->size == sizeof *lockdown && lockdown->reserved == 0 && lockdown->file_count <= 1024
        && lockdown->max_descriptors > RTW_FD_FIRST_FILE + lockdown->file_count && lockdown->max_data_bytes > 0
        && (lockdown->uid == STAY) == (lockdown->gid == STAY);
}

static int lock_down_files(const rtw_lockdown *lockdown, sandbox_report *report) {
    int abi = landlock_abi(lockdown->landlock_abi_cap);
    if (abi < 1) {
        errno = ENOSYS;
        return lockdown->best_effort ? 0 : failed(report, "landlock: the kernel does not offer it");
    }
    if (restrict_files(abi) != 0) return failed(report, "landlock");
    report->layers |= RTW_LAYER_LANDLOCK;
    report->landlock_abi = (uint32_t)abi;
    return 0;
}

static int lock_down_system_calls(const rtw_lockdown *lockdown, sandbox_report *report) {
    if (restrict_system_calls(lockdown->strict != 0) == 0) {
        report->layers |= RTW_LAYER_SECCOMP;
        return 0;
    }
    int unknown_to_kernel = errno == ENOSYS || errno == EINVAL;
    return unknown_to_kernel && lockdown->best_effort ? 0 : failed(report, "seccomp");
}

int sandbox_lock_down(const rtw_lockdown *lockdown, sandbox_report *report) {
    *report = (sandbox_report){.layers = 0};
    errno = EINVAL;
    if (!is_complete(lockdown)) return failed(report, "lockdown record");

    if (die_with_parent(lockdown->parent_pid) != 0) return failed(report, "parent");
    if (close_other_descriptors(RTW_FD_FIRST_FILE + lockdown->file_count) != 0) return failed(report, "descriptors");

    int own_uid = geteuid() == 0 && lockdown->uid != STAY;
    if (limit_resources(lockdown, own_uid) != 0) return failed(report, "limits");
    report->layers |= RTW_LAYER_LIMITS;

    if (empty_bounding_set() != 0) return failed(report, "capability bounding set");
    if (own_uid) {
        if (change_identity(lockdown->uid, lockdown->gid) != 0) return failed(report, "uid");
        report->layers |= RTW_LAYER_UID;
        /* The kernel forgets the parent's death signal when the uid changes. */
        if (die_with_parent(lockdown->parent_pid) != 0) return failed(report, "parent");
    }
    if (forbid_new_privileges() != 0) return failed(report, "no_new_privs");
    report->layers |= RTW_LAYER_NO_NEW_PRIVS;
    if (drop_capabilities() != 0) return failed(report, "capabilities");
    report->layers |= RTW_LAYER_CAPABILITIES;

    /* Not before the uid has changed: that would reset it. */
    if (forbid_inspection() != 0) return failed(report, "dumpable");
    /* Linux 6.3; below it the seccomp rules for mmap and mprotect stand alone. */
    if (forbid_executable_writes() == 0) report->layers |= RTW_LAYER_MDWE;

    if (lock_down_files(lockdown, report) != 0) return -1;
    return lock_down_system_calls(lockdown, report);
}
