/*
 * worker_protocol.h: the numbers that the daemon and the worker share. Both are built from this file, from one package;
 * it is not a public interface.
 *
 * The worker is started with these descriptors and no others:
 *   0 /dev/null   1, 2 pipe to the daemon (plugin's stdout and stderr)
 *   3 frames: AF_UNIX SOCK_STREAM   4 broker: AF_UNIX SOCK_SEQPACKET   5 the plugin: sealed memfd
 *   6 the lockdown record: sealed memfd holding one rtw_lockdown   7... the files of rts_start.files, in their order
 *
 * Then on descriptor 3: the worker locks itself down, loads the plugin and says READY; the daemon sends START; the
 * worker answers STARTED; then requests and DONE frames cross freely. EOF on 3 ends the worker.
 */
#ifndef WORKER_PROTOCOL_H
#define WORKER_PROTOCOL_H

#include <stdint.h>

#define RTW_FD_FRAMES 3
#define RTW_FD_BROKER 4
#define RTW_FD_PLUGIN 5
#define RTW_FD_LOCKDOWN 6
#define RTW_FD_FIRST_FILE 7

/*
 * Frame: this header, then `length` bytes of payload. Native byte order. Payload fields follow each other: u32 or u64
 * as said, `bytes` = u32 size (RTW_ABSENT for an absent value) + that many bytes, unpadded.
 */
typedef struct rtw_frame {
    uint32_t length;  /* of the payload; at most RTW_MAX_PAYLOAD */
    uint8_t type;     /* rtw_type */
    uint8_t flags;    /* 0 */
    uint16_t reserved; /* 0 */
    uint64_t id;      /* the request; 0 where there is none */
} rtw_frame;

#define RTW_MAX_PAYLOAD (4u << 20)
#define RTW_ABSENT 0xffffffffu

typedef enum rtw_type {
    /* daemon -> worker */
    RTW_START = 1,    /* u32 window, u32 log lines a second, bytes provider, bytes settings JSON, u32 files, bytes key... */
    RTW_DELIVER = 2,  /* request payload, below */
    RTW_CANCEL = 3,   /* empty */
    RTW_CHECK = 4,    /* empty */
    RTW_VERIFY = 5,   /* request payload */
    RTW_READ = 6,     /* request payload */
    RTW_STOP = 7,     /* empty; the worker calls stop, sends what is left, and exits 0 */
    RTW_PING = 8,     /* empty */
    /* worker -> daemon */
    RTW_READY = 64,   /* u32 worker pid, u32 landlock ABI in force (0 = none), u32 rtw_layer bits in force, u32 plugin ABI
                         major, u32 minor; sent after dlopen and the entry call */
    RTW_STARTED = 65, /* u32 1 = ok, 0 = refused; bytes why */
    RTW_DONE = 66,    /* u32 rts_outcome, u32 retry_after_ms, bytes detail, bytes account, bytes record */
    RTW_LOG = 67,     /* u32 rts_log_level, bytes message */
    RTW_METRIC = 68,  /* u64 delta (two's complement), bytes name */
    RTW_PONG = 69,    /* empty */
    RTW_FAILED = 70   /* u32 rtw_stage, bytes why; the worker exits afterwards */
} rtw_type;

/*
 * Request payload: u32 class, u32 attempt, u32 deadline_ms, u32 flags, bytes kind, bytes idempotency_key,
 * bytes external_id, bytes account, bytes event, bytes attributes, bytes secret.
 */

typedef enum rtw_stage {
    RTW_STAGE_LOCKDOWN = 1, /* a layer that is required could not be put in force */
    RTW_STAGE_LOAD = 2,     /* dlopen or dlsym failed, or the ABI does not match */
    RTW_STAGE_PROTOCOL = 3  /* the daemon sent something that is not a frame */
} rtw_stage;

/* Layers of the sandbox. */
typedef enum rtw_layer {
    RTW_LAYER_LIMITS = 1,        /* rlimits */
    RTW_LAYER_NO_NEW_PRIVS = 2,
    RTW_LAYER_CAPABILITIES = 4,  /* none left; the bounding set is empty too if the daemon had the right to empty it */
    RTW_LAYER_LANDLOCK = 8,
    RTW_LAYER_SECCOMP = 16,
    RTW_LAYER_MDWE = 32,         /* PR_SET_MDWE, kernel 6.3 and later */
    RTW_LAYER_UID = 64           /* runs as a uid of its own */
} rtw_layer;

/* How the worker is to lock itself down; descriptor 6 holds exactly one. */
typedef struct rtw_lockdown {
    uint32_t size;             /* sizeof(rtw_lockdown) */
    uint32_t parent_pid;       /* who must still be the parent after PDEATHSIG is set */
    uint32_t best_effort;      /* 1 = go on without layers that the kernel does not have */
    uint32_t landlock_abi_cap; /* use at most this Landlock ABI; 0 = the kernel's own; 0xffffffff = do as on a kernel
                                  without Landlock (a test switch) */
    uint32_t uid, gid;         /* change to these when started as root; 0xffffffff = stay */
    uint32_t file_count;       /* descriptors from RTW_FD_FIRST_FILE on */
    uint32_t max_descriptors;  /* RLIMIT_NOFILE */
    uint64_t max_data_bytes;   /* RLIMIT_DATA */
    uint32_t strict;           /* 1 = a forbidden system call kills instead of failing with EPERM */
    uint32_t reserved;
} rtw_lockdown;

/*
 * Broker: one request and one answer per message on the SEQPACKET pair, matched by `id` (answers may come in any order).
 */
#define RTW_HOST_MAX 256
#define RTW_ADDRESSES_MAX 8

typedef enum rtw_broker_op { RTW_RESOLVE = 1, RTW_CONNECT = 2 } rtw_broker_op;

typedef struct rtw_broker_request {
    uint32_t op;       /* rtw_broker_op */
    uint32_t id;
    uint32_t family;   /* RESOLVE: AF_UNSPEC, AF_INET, AF_INET6 */
    uint32_t port;     /* RESOLVE: host order, 0 = unknown */
    uint32_t address_size;            /* CONNECT; the socket itself comes by SCM_RIGHTS */
    uint8_t address[28];              /* CONNECT: sockaddr_in or sockaddr_in6 */
    char host[RTW_HOST_MAX];          /* RESOLVE: NUL-terminated */
} rtw_broker_request;

typedef struct rtw_broker_address {
    uint32_t size;
    uint8_t address[28]; /* sockaddr_in or sockaddr_in6, port 0 */
} rtw_broker_address;

typedef struct rtw_broker_answer {
    uint32_t id;
    int32_t error;     /* RESOLVE: an EAI_ value; CONNECT: an errno (EINPROGRESS included); 0 = done */
    uint32_t count;    /* RESOLVE: addresses that follow */
    rtw_broker_address addresses[RTW_ADDRESSES_MAX];
} rtw_broker_answer;

#endif
