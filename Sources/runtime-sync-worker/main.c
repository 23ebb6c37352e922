/*
 * runtime-sync-worker: the process that holds one plugin. It gives up every right first, loads the plugin then, and
 * speaks frames with the daemon that started it. Its descriptors are listed in worker_protocol.h.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "frames.h"
#include "plugin.h"
#include "sandbox.h"
#include "session.h"
#include "worker_protocol.h"

static rtw_lockdown read_lockdown_record(void) {
    rtw_lockdown record;
    if (pread(RTW_FD_LOCKDOWN, &record, sizeof record, 0) != (ssize_t)sizeof record) {
        frames_fail(RTW_STAGE_LOCKDOWN, "descriptor 6 holds no lockdown record");
    }
    close(RTW_FD_LOCKDOWN);
    return record;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "%s: started by the runtime-sync daemon, for one provider\n", arguments[0]);
        return EX_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);

    rtw_lockdown record = read_lockdown_record();
    sandbox_report report;
    if (sandbox_lock_down(&record, &report) != 0) frames_fail(RTW_STAGE_LOCKDOWN, report.failure);

    rts_plugin plugin;
    const char *refusal = plugin_load(&plugin);
    if (refusal) frames_fail(RTW_STAGE_LOAD, refusal);

    const uint32_t ready[] = {(uint32_t)getpid(), report.landlock_abi, report.layers, plugin.abi_major, plugin.abi_minor};
    frames_send(RTW_READY, 0, &(frame_content){.numbers = ready, .number_count = 5});
    session_run(&plugin, record.file_count);
}
