/*
 * A process between test and worker, so that "the daemon" can be killed, or be nobody. Started like a worker, with the
 * real worker's path as provider; hands its descriptors on. If the lockdown record names a uid, it becomes that uid
 * itself first, and the worker stays as it is. Ends with the worker's status.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker_spawn.h"

int main(int count, char **arguments) {
    rtw_lockdown record;
    if (count != 2 || pread(RTW_FD_LOCKDOWN, &record, sizeof record, 0) != (ssize_t)sizeof record) return 2;
    if (record.uid != 0xffffffffu) {
        if (setgroups(0, NULL) != 0 || setresgid(record.gid, record.gid, record.gid) != 0
            || setresuid(record.uid, record.uid, record.uid) != 0) {
            return 3;
        }
        record.uid = record.gid = 0xffffffffu;
    }
    record.parent_pid = (uint32_t)getpid();
    /* Each where the other one has to go: the worst that a daemon's descriptors can be numbered. */
    int frames = RTW_FD_BROKER, broker = RTW_FD_FRAMES, between = dup(RTW_FD_FRAMES);
    if (dup2(RTW_FD_BROKER, broker) < 0 || dup2(between, frames) < 0) return 6;
    rsp_worker worker = {
        .executable = arguments[1], .provider = "stand-in", .output = STDERR_FILENO, .frames = frames,
        .broker = broker, .plugin = RTW_FD_PLUGIN};
    worker.lockdown = rsp_sealed_bytes(&record, sizeof record, "lockdown");
    pid_t pid;
    int pidfd, status;
    if (worker.lockdown < 0 || rsp_spawn(&worker, &pid, &pidfd) != 0) return 4;
    close(frames);
    close(broker);
    close(between);
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return 5;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
