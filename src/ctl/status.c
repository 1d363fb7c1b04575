#include "ctl/status.h"
#include "base/num.h"
#include <stddef.h>
#include <stdio.h>

#define MIB (1024.0 * 1024.0)

static const struct {
    const char *name;
    size_t      at; /* of a uint64_t in struct status */
} fields[] = {
    { "pid", offsetof(struct status, pid) },
    { "uptime", offsetof(struct status, uptime) },
    { "threads", offsetof(struct status, threads) },
    { "curr_items", offsetof(struct status, items) },
    { "bytes", offsetof(struct status, bytes) },
    { "limit_maxbytes", offsetof(struct status, limit) },
    { "evictions", offsetof(struct status, evictions) },
    { "cmd_get", offsetof(struct status, gets) },
    { "get_hits", offsetof(struct status, hits) },
    { "cmd_set", offsetof(struct status, sets) },
    { "curr_connections", offsetof(struct status, connections) },
    { "max_connections", offsetof(struct status, connections_max) },
    { "rejected_connections", offsetof(struct status, rejected) },
};

void
status_add(struct status *s, struct slice name, struct slice value)
{
    if (slice_is(name, "version")) {
        snprintf(s->version, sizeof s->version, "%.*s", (int)value.len, value.ptr);
        return;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t n;

        if (slice_is(name, fields[i].name) && num_parse_u64(value, &n)) {
            memcpy((char *)s + fields[i].at, &n, sizeof n);
            return;
        }
    }
}

static double
percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

void
status_print(const struct status *s)
{
    printf("version      %s, pid %llu, up %llu d %02llu:%02llu:%02llu, %llu threads\n", s->version,
           (unsigned long long)s->pid, (unsigned long long)(s->uptime / 86400),
           (unsigned long long)(s->uptime / 3600 % 24), (unsigned long long)(s->uptime / 60 % 60),
           (unsigned long long)(s->uptime % 60), (unsigned long long)s->threads);
    printf("items        %llu, %.1f of %.0f MiB (%.1f %%), %llu evicted\n",
           (unsigned long long)s->items, (double)s->bytes / MIB, (double)s->limit / MIB,
           percent(s->bytes, s->limit), (unsigned long long)s->evictions);
    printf("requests     %llu gets (%.2f %% hits), %llu sets\n", (unsigned long long)s->gets,
           percent(s->hits, s->gets), (unsigned long long)s->sets);
    printf("connections  %llu of %llu, %llu rejected\n", (unsigned long long)s->connections,
           (unsigned long long)s->connections_max, (unsigned long long)s->rejected);
}
