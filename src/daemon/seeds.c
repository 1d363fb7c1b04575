#define _GNU_SOURCE /* pthread_setname_np() */
#include "daemon/seeds.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/rng.h"
#include "daemon/place.h"
#include "net/addr.h"
#include "vocab/settings.h"

#include <arpa/nameser.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEEDS_RETRY_MIN  USEC_PER_SEC /* after a failure; doubles up to the interval */

#define SEEDS_LINES_MAX  1024         /* of a file */
#define SEEDS_SRV_MAX    64           /* targets of a name */
#define SEEDS_ANSWER_MAX 16384        /* bytes of an answer of the resolver */

/* Addresses being gathered. */
struct gathering {
    struct cluster_addr addr[SEEDS_MAX];
    size_t              count;
    const char         *folder;  /* of files without one; lent */
    uint16_t            port;    /* of entries without one */
    unsigned            failed;  /* entries */
    struct err_detail   why;     /* of the last of them */
};

struct seeds {
    char            *list;
    char            *folder;   /* where the node was started: a daemon moves to / later.  May be
                                  NULL */
    uint16_t         port;
    usec_t           interval;
    bool             repeats;  /* there is something that may change */
    void           (*changed)(void *arg);
    void            *arg;
    pthread_t        id;
    pthread_mutex_t  lock;     /* of what follows */
    pthread_cond_t   woken;    /* the thread sleeps here */
    pthread_cond_t   done;     /* seeds_wait() here */
    bool             stop;
    bool             refresh;
    bool             news;
    unsigned         owners;   /* of this struct: main and the thread; the last one frees */
    unsigned         rounds;   /* done so far */
    struct cluster_addr addr[SEEDS_MAX];
    size_t           count;
};

/* -- one entry --------------------------------------------------------------------------------- */

static void
gather_addr(struct gathering *g, const struct cluster_addr *a)
{
    for (size_t i = 0; i < g->count; i++) {
        if (memcmp(&g->addr[i], a, sizeof *a) == 0) {
            return;
        }
    }
    if (g->count < SEEDS_MAX) {
        g->addr[g->count++] = *a;
    }
}

/* Every address of a host. */
static err_t
gather_spec(struct gathering *g, const struct addr_spec *spec, struct err_detail *d)
{
    struct addrinfo *found = NULL;
    err_t e = addr_resolve(spec, g->port, AF_UNSPEC, &found, d);

    if (e) {
        return e;
    }
    for (const struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
        struct cluster_addr a;

        if (place_addr_of(ai->ai_addr, &a)) {
            gather_addr(g, &a);
        }
    }
    freeaddrinfo(found);
    return ERR_OK;
}

static err_t
gather_host(struct gathering *g, const char *entry, struct err_detail *d)
{
    struct addr_spec spec;
    const char *rest;
    err_t e = addr_parse(entry, &spec, &rest, d);

    if (!e && (rest != NULL || spec.host[0] == '\0' || spec.port == 0)) {
        e = err_set(d, ERR_INVALID, "\"%.100s\" is not one place", entry);
    }
    return e ? e : gather_spec(g, &spec, d);
}

/* The targets of an answer. */
static err_t
gather_targets(struct gathering *g, const char *name, const unsigned char *answer, int len,
               struct err_detail *d)
{
    ns_msg msg;
    err_t e = ERR_OK;
    int count;

    if (ns_initparse(answer, len, &msg) < 0) {
        return err_set(d, ERR_CORRUPT, "srv:%.100s: the answer cannot be read", name);
    }
    count = ns_msg_count(msg, ns_s_an);
    for (int i = 0; i < count && i < SEEDS_SRV_MAX; i++) {
        struct addr_spec spec = { .port = 0 };
        ns_rr rr;

        /* priority, weight, port, target */
        if (ns_parserr(&msg, ns_s_an, i, &rr) < 0 || ns_rr_type(rr) != ns_t_srv ||
            ns_rr_rdlen(rr) < 7 ||
            dn_expand(ns_msg_base(msg), ns_msg_end(msg), ns_rr_rdata(rr) + 6, spec.host,
                      sizeof spec.host) < 0) {
            continue;
        }
        spec.port = (int)ns_get16(ns_rr_rdata(rr) + 4);
        if (spec.host[0] != '\0' && spec.port != 0) {
            err_t bad = gather_spec(g, &spec, d);

            e = bad ? bad : e;
        }
    }
    return e;
}

static err_t
gather_srv(struct gathering *g, const char *name, struct err_detail *d)
{
    struct __res_state state;
    unsigned char *answer = malloc(SEEDS_ANSWER_MAX);
    err_t e;
    int len;

    memset(&state, 0, sizeof state);
    if (answer == NULL || res_ninit(&state) < 0) {
        free(answer);
        return err_set(d, ERR_NOMEM, "srv:%.100s: out of memory", name);
    }
    len = res_nsearch(&state, name, ns_c_in, ns_t_srv, answer, SEEDS_ANSWER_MAX);
    e = len < 0 ? err_set(d, ERR_UNKNOWN, "srv:%.100s: %s", name, hstrerror(state.res_h_errno))
                : gather_targets(g, name, answer, len < SEEDS_ANSWER_MAX ? len : SEEDS_ANSWER_MAX,
                                 d);
    res_nclose(&state);
    free(answer);
    return e;
}

/* -- lists ------------------------------------------------------------------------------------- */

/* The text without blanks and, in a file, its comment. */
static char *
entry_trim(char *text, bool comments)
{
    char *end = comments ? text + strcspn(text, "#") : text + strlen(text);

    while (end > text && strchr(" \t\r\n", end[-1]) != NULL) {
        end--;
    }
    *end = '\0';
    return text + strspn(text, " \t");
}

static void
gather_note(struct gathering *g, err_t e, const struct err_detail *why)
{
    if (e) {
        g->failed++;
        g->why = *why;
    }
}

static void
gather_file(struct gathering *g, const char *path)
{
    struct err_detail why = { "" };
    char line[512], whole[PATH_MAX];
    bool relative = path[0] != '/' && g->folder != NULL;
    FILE *in;
    int lines = 0;

    (void)snprintf(whole, sizeof whole, "%s%s%s", relative ? g->folder : "", relative ? "/" : "",
                   path);
    in = fopen(whole, "re");
    if (in == NULL) {
        gather_note(g, err_set(&why, ERR_IO, "file:%.150s: %s", path, strerror(errno)), &why);
        return;
    }
    while (lines++ < SEEDS_LINES_MAX && fgets(line, sizeof line, in) != NULL) {
        const char *entry = entry_trim(line, true);
        err_t e = ERR_OK;

        if (strncmp(entry, "srv:", 4) == 0) {
            e = gather_srv(g, entry + 4, &why);
        } else if (*entry != '\0') {
            e = gather_host(g, entry, &why);
        }
        gather_note(g, e, &why);
    }
    fclose(in);
}

/* Looks up everything on the list, which is changed and put back together. */
static void
gather_list(struct gathering *g, const char *list)
{
    char text[SETTINGS_TEXT_MAX], *rest = text, *part;

    assert(strlen(list) < sizeof text);
    strcpy(text, list);
    while ((part = strsep(&rest, ",;")) != NULL) {
        const char *entry = entry_trim(part, false);
        struct err_detail why = { "" };
        err_t e = ERR_OK;

        if (strncmp(entry, "file:", 5) == 0) {
            gather_file(g, entry + 5);
        } else if (strncmp(entry, "srv:", 4) == 0) {
            e = gather_srv(g, entry + 4, &why);
        } else if (*entry != '\0') {
            e = gather_host(g, entry, &why);
        }
        gather_note(g, e, &why);
    }
}

/* Reads the list without looking anything up; *ret_repeats: whether it may mean other addresses
 * another time. */
static err_t
list_check(const char *list, bool *ret_repeats, struct err_detail *d)
{
    char text[SETTINGS_TEXT_MAX], *rest = text, *part;

    if (strlen(list) >= sizeof text) {
        return err_set(d, ERR_RANGE, "join: too long");
    }
    strcpy(text, list);
    *ret_repeats = false;
    while ((part = strsep(&rest, ",;")) != NULL) {
        const char *entry = entry_trim(part, false), *behind;
        struct err_detail why = { "" };
        struct addr_spec spec;

        if (strncmp(entry, "file:", 5) == 0 || strncmp(entry, "srv:", 4) == 0) {
            *ret_repeats = true;
        } else if (*entry != '\0') {
            if (addr_parse(entry, &spec, &behind, &why)) {
                return err_set(d, ERR_INVALID, "join: \"%.100s\": %.120s", entry, why.text);
            }
            if (behind != NULL || spec.host[0] == '\0' || spec.port == 0) {
                return err_set(d, ERR_INVALID, "join: \"%.100s\" is not one place", entry);
            }
            *ret_repeats = *ret_repeats || !place_parse_ip(spec.host, NULL);
        }
    }
    return ERR_OK;
}

/* -- the thread -------------------------------------------------------------------------------- */

static int
addr_order(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct cluster_addr));
}

/* Publishes what was found.  Locked. */
static void
seeds_publish(struct seeds *s, struct gathering *g)
{
    /* Who could not be asked may still be where he was. */
    for (size_t i = 0; g->failed > 0 && i < s->count; i++) {
        gather_addr(g, &s->addr[i]);
    }
    qsort(g->addr, g->count, sizeof *g->addr, addr_order);
    if (g->count != s->count || memcmp(g->addr, s->addr, g->count * sizeof *g->addr) != 0) {
        memcpy(s->addr, g->addr, g->count * sizeof *g->addr);
        s->count = g->count;
        s->news = true;
        if (!s->stop) {
            s->changed(s->arg);
        }
    }
    s->rounds++;
    pthread_cond_broadcast(&s->done);
}

/* Sleeps with the lock held, until it is time or somebody wants something. */
static void
seeds_sleep(struct seeds *s, usec_t time)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(time / USEC_PER_SEC);
    until.tv_nsec += (long)(time % USEC_PER_SEC) * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!s->stop && !s->refresh) {
        if (pthread_cond_timedwait(&s->woken, &s->lock, &until) == ETIMEDOUT) {
            return;
        }
    }
}

/* Says what could not be looked up, when that begins or another reason comes, and when it ends. */
static void
failures_log(const struct gathering *g, struct err_detail *told, usec_t again)
{
    if (g->failed > 0 && strcmp(g->why.text, told->text) != 0) {
        log_line(LOG_LEVEL_WARNING, "seeds: %s (entries that failed: %u); again in %.1fs",
                 g->why.text, g->failed, (double)again / (double)USEC_PER_SEC);
    } else if (g->failed == 0 && told->text[0] != '\0') {
        log_line(LOG_LEVEL_INFO, "seeds: all names are found again, %zu addresses", g->count);
    }
    *told = g->failed > 0 ? g->why : (struct err_detail){ "" };
}

static void
seeds_free(struct seeds *s)
{
    pthread_cond_destroy(&s->woken);
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->lock);
    free(s->folder);
    free(s->list);
    free(s);
}

/* Gives up the lock, and the struct with it if nobody else has it. */
static void
seeds_release(struct seeds *s)
{
    bool last = --s->owners == 0;

    pthread_mutex_unlock(&s->lock);
    if (last) {
        seeds_free(s);
    }
}

static void *
seeds_main(void *arg)
{
    struct seeds *s = arg;
    struct err_detail told = { "" };
    usec_t retry = SEEDS_RETRY_MIN;
    struct rng rng;

    (void)pthread_setname_np(pthread_self(), "mp-seeds");
    panic_thread_start();
    rng_init(&rng, (uint64_t)clock_nsec());
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct gathering g = { .folder = s->folder, .port = s->port };
        usec_t sleep = s->interval * (usec_t)(80 + rng_below(&rng, 41)) / 100;

        s->refresh = false;
        pthread_mutex_unlock(&s->lock);
        gather_list(&g, s->list);
        if (g.failed > 0 && retry < sleep) {
            sleep = retry;
            retry *= 2;
        } else if (g.failed == 0) {
            retry = SEEDS_RETRY_MIN;
        }
        failures_log(&g, &told, sleep);
        pthread_mutex_lock(&s->lock);
        seeds_publish(s, &g);
        seeds_sleep(s, s->repeats || g.failed > 0 ? sleep : 365 * 86400 * USEC_PER_SEC);
    }
    seeds_release(s);
    panic_thread_stop();
    return NULL;
}

/* -- main -------------------------------------------------------------------------------------- */

static void
seeds_init(struct seeds *s, const struct seeds_config *config)
{
    pthread_condattr_t attr;

    s->port = config->port;
    s->interval = config->interval;
    s->changed = config->changed;
    s->arg = config->arg;
    s->owners = 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->woken, &attr);
    pthread_cond_init(&s->done, &attr);
    pthread_condattr_destroy(&attr);
}

err_t
seeds_start(const struct seeds_config *config, struct seeds **ret, struct err_detail *d)
{
    struct seeds *s = calloc(1, sizeof *s);
    sigset_t all, before;
    err_t e;
    int rc;

    assert(config->interval > 0 && config->port != 0);
    if (s == NULL) {
        return err_set(d, ERR_NOMEM, "out of memory for the seeds");
    }
    seeds_init(s, config);
    e = list_check(config->list, &s->repeats, d);
    s->list = e ? NULL : strdup(config->list);
    s->folder = getcwd(NULL, 0);
    if (s->list == NULL) {
        seeds_free(s);
        return e ? e : err_set(d, ERR_NOMEM, "out of memory for the seeds");
    }
    s->owners = 2;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&s->id, NULL, seeds_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        seeds_free(s);
        return err_set(d, ERR_NOMEM, "cannot start the resolver's thread");
    }
    (void)pthread_detach(s->id);
    *ret = s;
    return ERR_OK;
}

void
seeds_wait(struct seeds *s, usec_t timeout)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout / USEC_PER_SEC);
    until.tv_nsec += (long)(timeout % USEC_PER_SEC) * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&s->lock);
    while (s->rounds == 0) {
        if (pthread_cond_timedwait(&s->done, &s->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

size_t
seeds_get(struct seeds *s, struct cluster_addr ret[SEEDS_MAX], bool *ret_news)
{
    size_t count;

    pthread_mutex_lock(&s->lock);
    count = s->count;
    memcpy(ret, s->addr, count * sizeof *ret);
    *ret_news = s->news;
    s->news = false;
    pthread_mutex_unlock(&s->lock);
    return count;
}

void
seeds_refresh(struct seeds *s)
{
    if (!s->repeats) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->refresh = true;
    pthread_cond_signal(&s->woken);
    pthread_mutex_unlock(&s->lock);
}

void
seeds_stop(struct seeds *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->woken);
    seeds_release(s);
}
