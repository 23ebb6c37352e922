/*
 * Landlock: which files may be read. Nothing may be written, executed or made, no TCP port bound or connected, no
 * process outside signalled, no abstract socket outside reached (as far as the kernel's ABI knows of these).
 *
 * Constants and layouts after Documentation/userspace-api/landlock.rst; Debian 12's own header ends at ABI 2.
 * Rules bind inodes: a listed *file* that is replaced by rename() is refused until the worker is started anew. A stat()
 * is not covered: metadata of any path can be seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"
#include "sandbox.h"

#define NEWEST_KNOWN_ABI 7

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1

#define READ_FILE (1ull << 2)
#define READ_DIR (1ull << 3)
#define FILES_ABI_1 0x1fffull
#define REFER (1ull << 13)     /* ABI 2 */
#define TRUNCATE (1ull << 14)  /* ABI 3 */
#define IOCTL_DEV (1ull << 15) /* ABI 5 */

#define BIND_AND_CONNECT_TCP 3ull      /* ABI 4 */
#define ABSTRACT_UNIX_AND_SIGNAL 3ull  /* ABI 6 */

/* Each ABI knows the struct up to some field, and refuses to be told more. */
struct ruleset {
    uint64_t files;
    uint64_t ports;
    uint64_t scopes;
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

/*
 * What the loader, libc, and TLS libraries read. The broker resolves names, so nothing of the resolver's is here.
 * /proc/self means this process: it is resolved now.
 */
static const char *const readable[] = {
    "/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache",
    "/etc/services", "/etc/protocols", "/etc/localtime", "/usr/share/zoneinfo",
    "/etc/ssl/certs", "/usr/share/ca-certificates", "/etc/ssl/openssl.cnf", "/etc/gnutls", "/usr/share/p11-kit",
    "/etc/ldap/ldap.conf",
    "/dev/null", "/dev/urandom", "/sys/devices/system/cpu", "/proc/cpuinfo", "/proc/self"};

/* The ABI to build for: the kernel's, the newest that is known here, or the cap, whichever is lowest. 0: none. */
int landlock_abi(uint32_t cap) {
    if (cap == SANDBOX_NO_LANDLOCK) return 0;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    if (abi < 1) return 0;
    if (abi > NEWEST_KNOWN_ABI) abi = NEWEST_KNOWN_ABI;
    return cap != 0 && (long)cap < abi ? (int)cap : (int)abi;
}

static int make_ruleset(int abi) {
    struct ruleset ruleset = {.files = FILES_ABI_1};
    size_t known = offsetof(struct ruleset, ports);
    if (abi >= 2) ruleset.files |= REFER;
    if (abi >= 3) ruleset.files |= TRUNCATE;
    if (abi >= 4) {
        ruleset.ports = BIND_AND_CONNECT_TCP;
        known = offsetof(struct ruleset, scopes);
    }
    if (abi >= 5) ruleset.files |= IOCTL_DEV;
    if (abi >= 6) {
        ruleset.scopes = ABSTRACT_UNIX_AND_SIGNAL;
        known = sizeof ruleset;
    }
    return (int)syscall(SYS_landlock_create_ruleset, &ruleset, known, 0);
}

/* A path that this system does not have needs no rule. */
static int allow_reading(int ruleset, const char *path) {
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT || errno == EACCES ? 0 : -1;
    struct stat status;
    int result = fstat(fd, &status);
    if (result == 0) {
        struct path_rule rule = {.allowed = READ_FILE, .parent_fd = fd};
        if (S_ISDIR(status.st_mode)) rule.allowed |= READ_DIR;
        result = (int)syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int restrict_files(int abi) {
    int ruleset = make_ruleset(abi);
    if (ruleset < 0) return -1;
    int result = 0;
    for (size_t index = 0; result == 0 && index < sizeof readable / sizeof *readable; index++) {
        result = allow_reading(ruleset, readable[index]);
    }
    if (result == 0) result = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    int saved = errno;
    close(ruleset);
    errno = saved;
    return result;
}
