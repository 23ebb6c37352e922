// The other side of the comparison: what a plain C program gets out of the directory with libldap alone, no daemon, no
// journal, no sandbox. It keeps a number of password changes outstanding on a number of connections, like the plugin.
//
//   ldap_baseline write URI BIND_DN SECRET_FILE BASE USERS OPERATIONS CONNECTIONS WINDOW METHOD TAG
//   ldap_baseline bind  URI BASE USERS STEP TAG
//
// `write` sets the passwords of u0 … u(USERS-1) below BASE, round and round, to TAG-u0 …; METHOD is `extended` (Password
// Modify, RFC 3062) or `modify` (replace userPassword). `bind` shows that every STEP-th user can log in with TAG-u….
// Both print one JSON object; the exit code is 0 only if every single operation succeeded.

#define _GNU_SOURCE
#include <ldap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { connections_at_most = 64 };

static void fail(const char *what, int code) {
    fprintf(stderr, "ldap_baseline: %s: %s\n", what, ldap_err2string(code));
    exit(1);
}

static long number(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 1) {
        fprintf(stderr, "ldap_baseline: %s is no number above 0\n", text);
        exit(2);
    }
    return value;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static LDAP *connect_to(const char *uri) {
    LDAP *handle;
    int version = LDAP_VERSION3;
    int code = ldap_initialize(&handle, uri);
    if (code != LDAP_SUCCESS) fail(uri, code);
    ldap_set_option(handle, LDAP_OPT_PROTOCOL_VERSION, &version);
    return handle;
}

static int bind_as(LDAP *handle, const char *name, char *secret) {
    struct berval credential = {strlen(secret), secret};
    return ldap_sasl_bind_s(handle, name, LDAP_SASL_SIMPLE, &credential, NULL, NULL, NULL);
}

static void read_secret(const char *path, char *secret, size_t size) {
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(secret, (int)size, file) == NULL) {
        perror(path);
        exit(1);
    }
    secret[strcspn(secret, "\n")] = '\0';
    fclose(file);
}

/// Sends one password change.
static void change(LDAP *handle, const char *base, const char *tag, long user, int is_extended) {
    char name[512], password[128];
    int message;
    snprintf(name, sizeof name, "uid=u%ld,%s", user, base);
    snprintf(password, sizeof password, "%s-u%ld", tag, user);
    struct berval id = {strlen(name), name}, new = {strlen(password), password};
    struct berval *values[] = {&new, NULL};
    LDAPMod replace = {LDAP_MOD_REPLACE | LDAP_MOD_BVALUES, "userPassword", {.modv_bvals = values}};
    LDAPMod *changes[] = {&replace, NULL};
    int code = is_extended ? ldap_passwd(handle, &id, NULL, &new, NULL, NULL, &message)
                           : ldap_modify_ext(handle, name, changes, NULL, NULL, &message);
    if (code != LDAP_SUCCESS) fail("sending", code);
}

/// Takes the answers that have arrived; returns how many.
static long collect(LDAP *handle) {
    long count = 0;
    for (;;) {
        struct timeval none = {0, 0};
        LDAPMessage *answer = NULL;
        int type = ldap_result(handle, LDAP_RES_ANY, LDAP_MSG_ALL, &none, &answer);
        if (type == 0) return count;
        if (type < 0) fail("receiving", LDAP_SERVER_DOWN);
        int code, parsed = ldap_parse_result(handle, answer, &code, NULL, NULL, NULL, NULL, 1);
        if (parsed != LDAP_SUCCESS || code != LDAP_SUCCESS) fail("answer", parsed != LDAP_SUCCESS ? parsed : code);
        count += 1;
    }
}

static int write_all(char **argument) {
    const char *uri = argument[0], *base = argument[3], *tag = argument[9];
    long users = number(argument[4]), operations = number(argument[5]);
    long connections = number(argument[6]), window = number(argument[7]);
    int is_extended = strcmp(argument[8], "extended") == 0;
    char secret[256];
    LDAP *handles[connections_at_most];
    struct pollfd sockets[connections_at_most];
    long outstanding[connections_at_most] = {0};
    if (connections > connections_at_most) fail("too many connections", LDAP_PARAM_ERROR);

    read_secret(argument[2], secret, sizeof secret);
    for (long i = 0; i < connections; i++) {
        handles[i] = connect_to(uri);
        int code = bind_as(handles[i], argument[1], secret);
        if (code != LDAP_SUCCESS) fail("bind", code);
        ldap_get_option(handles[i], LDAP_OPT_DESC, &sockets[i].fd);
        sockets[i].events = POLLIN;
    }
    double start = now();
    for (long sent = 0, done = 0; done < operations;) {
        for (long i = 0; i < connections; i++) {
            for (; outstanding[i] < window && sent < operations; sent++, outstanding[i]++)
                change(handles[i], base, tag, sent % users, is_extended);
        }
        poll(sockets, (nfds_t)connections, -1);
        for (long i = 0; i < connections; i++) {
            if (sockets[i].revents == 0) continue;
            long answers = collect(handles[i]);
            outstanding[i] -= answers;
            done += answers;
        }
    }
    double seconds = now() - start;
    for (long i = 0; i < connections; i++) ldap_unbind_ext_s(handles[i], NULL, NULL);
    double rate = (double)operations / seconds;
    printf("{\"operations\": %ld, \"seconds\": %.6f, \"rate\": %.1f}\n", operations, seconds, rate);
    return 0;
}

static int bind_some(char **argument) {
    const char *base = argument[1], *tag = argument[4];
    long users = number(argument[2]), step = number(argument[3]), wrong = 0, count = 0;
    LDAP *handle = connect_to(argument[0]);
    for (long user = 0; user < users; user += step, count++) {
        char name[512], password[128];
        snprintf(name, sizeof name, "uid=u%ld,%s", user, base);
        snprintf(password, sizeof password, "%s-u%ld", tag, user);
        int code = bind_as(handle, name, password);
        if (code == LDAP_INVALID_CREDENTIALS) wrong++;
        else if (code != LDAP_SUCCESS) fail(name, code);
    }
    ldap_unbind_ext_s(handle, NULL, NULL);
    printf("{\"binds\": %ld, \"refused\": %ld}\n", count, wrong);
    return wrong == 0 ? 0 : 1;
}

int main(int count, char **argument) {
    if (count == 12 && strcmp(argument[1], "write") == 0) return write_all(argument + 2);
    if (count == 7 && strcmp(argument[1], "bind") == 0) return bind_some(argument + 2);
    fprintf(stderr, "usage: see the head of ldap_baseline.c\n");
    return 2;
}
