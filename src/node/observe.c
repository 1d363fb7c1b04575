/*
 * observe.c - what others are told of the commands of a worker: "stats detail" and watchers.
 *
 * Runs only while somebody observes.
 */
#include "node/exec.h"
#include "node/prefixes.h"

static struct watch_from
from_worker(struct worker *w)
{
    return (struct watch_from){
        .all = w->node->watches, .metrics = &w->metrics, .now = w->now };
}

/* Counts a command for "stats detail"; a touch is a get there in the binary protocol alone. */
static void
detail_count(const struct worker *w, const struct command *c, const struct reply *r)
{
    char delimiter = w->node->settings->admin.detail_prefix[0];
    bool hit = r->code == RPL_HIT || r->code == RPL_DONE || r->code == RPL_TOUCHED;

    if ((c->op >= OP_GET && c->op <= OP_GATS) || c->op == OP_META_GET ||
        (c->op == OP_TOUCH && c->protocol == PROTO_BINARY)) {
        prefixes_count(w->node->prefixes, c->key, delimiter, hit ? PREFIXES_HIT : PREFIXES_GET);
    } else if ((c->op >= OP_SET && c->op <= OP_CAS) || c->op == OP_META_SET) {
        prefixes_count(w->node->prefixes, c->key, delimiter, PREFIXES_SET);
    } else if (c->op == OP_DELETE || c->op == OP_META_DELETE) {
        prefixes_count(w->node->prefixes, c->key, delimiter, PREFIXES_DELETE);
    }
}

static const char *
status_word(enum reply_code code)
{
    switch ((int)code) {
    case RPL_STORED:
        return "stored";
    case RPL_EXISTS:
        return "exists";
    case RPL_NOT_FOUND:
        return "not_found";
    case RPL_TOO_LARGE:
        return "too_large";
    case RPL_NO_MEMORY:
    case RPL_NO_MEMORY_READ:
        return "no_memory";
    default:
        return "not_stored";
    }
}

static enum watch_found
found_word(enum store_found found)
{
    switch (found) {
    case STORE_HIT:
        return WATCH_FOUND;
    case STORE_EXPIRED:
        return WATCH_EXPIRED;
    case STORE_FLUSHED:
        return WATCH_FLUSHED;
    case STORE_MISS:
        break;
    }
    return WATCH_NOT_FOUND;
}

/* In memcached's order: every command looks its key up first. */
static void
tell_watchers(struct worker *w, const struct command *c, const struct reply *r)
{
    const struct worker_sight *sight = &w->sight;
    struct watch_from from = from_worker(w);
    int fd = w->client.fd;

    if (sight->looked && (w->observed & WATCH_FETCHERS)) {
        watch_fetch(&from, c->key, found_word(sight->found), sight->class_id, fd,
                    sight->value_len);
    }
    if (sight->stored && (w->observed & WATCH_MUTATIONS)) {
        watch_store(&from, c->key, status_word(sight->status), sight->command, sight->ttl,
                    sight->new_class, fd, sight->new_len);
    }
    if (r->code == RPL_DELETED && (w->observed & WATCH_DELETIONS)) {
        watch_delete(&from, c->key, c->op == OP_META_DELETE ? "md" : "delete", sight->class_id,
                     sight->value_len);
    }
}

void
observe_store(struct worker *w)
{
    struct watch_from from = from_worker(w);

    watch_store_events(&from, w->ctx);
}

void
observe_command(struct worker *w, const struct command *c, const struct reply *r)
{
    if (w->observed & WORKER_DETAIL) {
        detail_count(w, c, r);
    }
    tell_watchers(w, c, r);
    if (w->observed & (WATCH_EVICTIONS | WATCH_SYSEVENTS)) {
        observe_store(w);
    }
}

void
observe_line(struct worker *w, struct slice in)
{
    const char *end = memchr(in.ptr, '\n', in.len);
    struct watch_from from = from_worker(w);

    watch_raw(&from, w->client.fd,
              slice_of(in.ptr, end ? (size_t)(end - in.ptr) : in.len));
}
