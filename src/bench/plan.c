#include "bench/plan.h"
#include "base/num.h"
#include "bench/trace.h"
#include "vocab/limits.h"
#include <assert.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define OPTION_BASE 256 /* of the numbers getopt_long() gives back */
#define DAY         86400.0
#define TRACE_DEPTH 32 /* the hits of a trace do not depend on it, its speed does */

enum type {
    TYPE_COUNT,   /* unsigned, min..max */
    TYPE_NUMBER,  /* uint64_t, min..max */
    TYPE_REAL,    /* double, min..max */
    TYPE_SECONDS, /* usec_t, min..max seconds */
    TYPE_TEXT,    /* const char * */
    TYPE_YES,     /* bool, true by its name alone */
    TYPE_NO,
    TYPE_PID,
    TYPE_DIALECT,
    TYPE_OUTPUT,
    TYPE_GETS,
    TYPE_MIX,
};

enum group { GROUP_SERVER, GROUP_REQUESTS, GROUP_KEYS, GROUP_RUN, GROUP_TRACE, GROUP_REPORT,
             GROUPS };

static const char *const titles[GROUPS] = {
    "The server", "Requests", "Keys and values", "The run", "A trace instead of all that",
    "The report",
};

/* An option; what it stands for lies in struct plan. */
struct row {
    enum group  group;
    const char *name, *arg; /* arg NULL: it has none */
    enum type   type;
    size_t      offset;
    double      min, max;
    const char *help;
};

#define AT(field) offsetof(struct plan, field)

static const struct row rows[] = {
    { GROUP_SERVER, "server", "PLACE", TYPE_TEXT, AT(place), 0, 0,
      "or -s: HOST, HOST:PORT or the path of a socket (127.0.0.1:11211)" },
    { GROUP_SERVER, "protocol", "NAME", TYPE_DIALECT, AT(dialect), 0, 0,
      "text, meta or binary (text)" },
    { GROUP_SERVER, "connections", "N", TYPE_COUNT, AT(connections), 1, 20000, "(50)" },
    { GROUP_SERVER, "threads", "N", TYPE_COUNT, AT(threads), 1, 256,
      "of this program; they share the connections (1)" },
    { GROUP_SERVER, "idle", "N", TYPE_COUNT, AT(idle), 0, 100000,
      "connections beside them that say nothing (0)" },
    { GROUP_SERVER, "pid", "PID", TYPE_PID, AT(pid), 1, INT32_MAX,
      "of the server: counts its CPU time" },

    { GROUP_REQUESTS, "depth", "N", TYPE_COUNT, AT(depth), 1, 4096,
      "requests under way on each connection (1; of a trace 32)" },
    { GROUP_REQUESTS, "multi", "N", TYPE_COUNT, AT(multi), 1, 4096,
      "keys of one get; binary: getkq and a noop (1)" },
    { GROUP_REQUESTS, "gets", "PERCENT", TYPE_GETS, AT(share), 0, 100,
      "requests that fetch; the others store (90)" },
    { GROUP_REQUESTS, "mix", "LIST", TYPE_MIX, AT(share), 0, 0,
      "instead of --gets: shares of get, set, delete and incr,\n"
      "like get=90,set=8,delete=1,incr=1" },
    { GROUP_REQUESTS, "set-on-miss", NULL, TYPE_YES, AT(set_on_miss), 0, 0,
      "store every key that a get did not find" },
    { GROUP_REQUESTS, "rate", "N", TYPE_REAL, AT(rate), 0, 1e9,
      "requests a second, sent when they are due whatever the\n"
      "server does (up to --depth on each connection); latency\n"
      "counts from that moment, so a pause of the server counts for\n"
      "all that it kept waiting.  0: send as answers arrive (0)" },
    { GROUP_REQUESTS, "poisson", NULL, TYPE_YES, AT(poisson), 0, 0,
      "with --rate: at random moments, not evenly" },

    { GROUP_KEYS, "keys", "N", TYPE_NUMBER, AT(keys.count), 1, (double)KEYS_MAX, "(100000)" },
    { GROUP_KEYS, "counters", "N", TYPE_NUMBER, AT(keys.counters), 1, (double)KEYS_MAX,
      "keys of their own that are incremented (1000)" },
    { GROUP_KEYS, "key-size", "SIZE", TYPE_TEXT, AT(key_size), 0, 0, "bytes, see below (24)" },
    { GROUP_KEYS, "value-size", "SIZE", TYPE_TEXT, AT(value_size), 0, 0,
      "bytes, see below (100)" },
    { GROUP_KEYS, "ttl", "SIZE", TYPE_TEXT, AT(ttl), 0, 0,
      "seconds, see below; 0: for ever (0)" },
    { GROUP_KEYS, "flags", NULL, TYPE_YES, AT(keys.flags), 0, 0,
      "each key has client flags of its own; else they are 0" },
    { GROUP_KEYS, "zipf", "EXPONENT", TYPE_REAL, AT(keys.zipf), 0, 10,
      "how uneven the keys are chosen, 0: all alike (0)" },
    { GROUP_KEYS, "seed", "N", TYPE_NUMBER, AT(seed), 0, 0x1p64, "of every choice (1)" },

    { GROUP_RUN, "seconds", "S", TYPE_SECONDS, AT(duration), 1e-6, DAY, "measured (5)" },
    { GROUP_RUN, "requests", "N", TYPE_NUMBER, AT(requests), 1, 1e15,
      "measure so many instead of --seconds" },
    { GROUP_RUN, "warmup", "S", TYPE_SECONDS, AT(warmup), 0, DAY,
      "not measured, before (1; with --requests 0)" },
    { GROUP_RUN, "no-prefill", NULL, TYPE_NO, AT(prefill), 0, 0,
      "do not store every key first" },
    { GROUP_RUN, "verify", NULL, TYPE_YES, AT(verify), 0, 0,
      "compare every value with what was stored; misses are fine" },

    { GROUP_TRACE, "trace", "FILE", TYPE_TEXT, AT(trace), 0, 0,
      "replay its lines \"time,key,size,op,ttl\": seconds, a name,\n"
      "bytes of the value, get, set, delete or incr, seconds.  What a\n"
      "get does not find is stored.  The requests of a key stay in\n"
      "order: they share a connection, and a set waits for the gets\n"
      "before it.  With --threads, each reads the file" },
    { GROUP_TRACE, "trace-speed", "X", TYPE_REAL, AT(trace_speed), 0, 1e6,
      "keep to its times, X times as fast, and shorten the ttls\n"
      "alike; 0: as fast as it goes (0)" },
    { GROUP_TRACE, "trace-warmup", "SHARE", TYPE_REAL, AT(trace_warmup), 0, 1,
      "of the file that does not count for the hit ratio (0.3)" },

    { GROUP_REPORT, "output", "FORMAT", TYPE_OUTPUT, AT(output), 0, 0,
      "text, json or csv (text)" },
    { GROUP_REPORT, "progress", NULL, TYPE_YES, AT(progress), 0, 0,
      "a line on standard error each second, as on a terminal" },
};

#define ROWS (sizeof rows / sizeof *rows)

static_assert(ROWS < 64, "the options given are bits of a word");

/* -- help -------------------------------------------------------------------------------------- */

void
plan_print_help(void)
{
    for (unsigned group = 0; group < GROUPS; group++) {
        printf("%s:\n", titles[group]);
        for (size_t i = 0; i < ROWS; i++) {
            const char *line = rows[i].help;
            char name[64];

            if ((unsigned)rows[i].group != group) {
                continue;
            }
            snprintf(name, sizeof name, "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
                     rows[i].arg ? rows[i].arg : "");
            while (line) {
                int len = (int)strcspn(line, "\n");

                printf("  %-21s %.*s\n", line == rows[i].help ? name : "", len, line);
                line = line[len] ? line + len + 1 : NULL;
            }
        }
        fputs("\n", stdout);
    }
    printf("A SIZE is N, MIN-MAX (all alike), lognormal:MEDIAN:SIGMA[:MAX], geometric:MEAN[:MAX]\n"
           "(cut at %d if not said) or a list like 32:50,1024:40,2000-9000:10 (size:weight).\n",
           DIST_CAP);
}

/* -- values ------------------------------------------------------------------------------------ */

static err_t
option_bad(const struct row *o, const char *text, const char *want, struct err_detail *d)
{
    return err_set(d, ERR_INVALID, "--%s %s: %s", o->name, text, want);
}

static err_t
number_parse(const struct row *o, const char *text, uint64_t *ret, struct err_detail *d)
{
    uint64_t max = o->max >= 0x1p64 ? UINT64_MAX : (uint64_t)o->max, n;
    char want[64];

    if (!num_parse_u64(slice_of(text, strlen(text)), &n) || n < (uint64_t)o->min || n > max) {
        snprintf(want, sizeof want, "want %.0f..%llu", o->min, (unsigned long long)max);
        return option_bad(o, text, want, d);
    }
    *ret = n;
    return ERR_OK;
}

static err_t
real_parse(const struct row *o, const char *text, double *ret, struct err_detail *d)
{
    char *end, want[64];
    double n = strtod(text, &end);

    if (end == text || *end || !(n >= o->min && n <= o->max)) {
        snprintf(want, sizeof want, "want %g..%g", o->min, o->max);
        return option_bad(o, text, want, d);
    }
    *ret = n;
    return ERR_OK;
}

/* "get=90,set=10", in any order; the shares may add up to anything. */
static err_t
mix_parse(const struct row *o, const char *text, double share[VERBS], struct err_detail *d)
{
    double sum = 0, of[VERBS] = { 0 };
    const char *at = text;

    while (*at) {
        const char *equals = strchr(at, '=');
        char *end;
        enum verb verb;

        if (!equals || !dialect_parse_verb(slice_of(at, (size_t)(equals - at)), &verb) ||
            of[verb] > 0) {
            break;
        }
        of[verb] = strtod(equals + 1, &end);
        if (end == equals + 1 || !(of[verb] >= 0 && of[verb] <= 1e9) || (*end && *end != ',')) {
            break;
        }
        sum += of[verb];
        at = *end && end[1] ? end + 1 : end; /* a comma at the end is left over */
    }
    if (*at || !(sum > 0)) {
        return option_bad(o, text, "want shares like get=90,set=8,delete=1,incr=1", d);
    }
    for (int v = 0; v < VERBS; v++) {
        share[v] = of[v] / sum;
    }
    return ERR_OK;
}

static err_t
output_parse(const struct row *o, const char *text, enum plan_output *ret, struct err_detail *d)
{
    static const char *const formats[] = { "text", "json", "csv" };

    for (unsigned i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(text, formats[i]) == 0) {
            *ret = (enum plan_output)i;
            return ERR_OK;
        }
    }
    return option_bad(o, text, "want text, json or csv", d);
}

/* Sets what the option stands for; text is NULL if it has no argument. */
static err_t
option_set(const struct row *o, const char *text, struct plan *p, struct err_detail *d)
{
    void *at = (char *)p + o->offset;
    uint64_t n = 0;
    double x = 0;
    err_t e = ERR_OK;

    switch (o->type) {
    case TYPE_COUNT:
        e = number_parse(o, text, &n, d);
        *(unsigned *)at = (unsigned)n;
        return e;
    case TYPE_NUMBER:
        return number_parse(o, text, at, d);
    case TYPE_PID:
        e = number_parse(o, text, &n, d);
        *(pid_t *)at = (pid_t)n;
        return e;
    case TYPE_REAL:
        return real_parse(o, text, at, d);
    case TYPE_SECONDS:
        e = real_parse(o, text, &x, d);
        *(usec_t *)at = (usec_t)(x * (double)USEC_PER_SEC);
        return e;
    case TYPE_GETS:
        e = real_parse(o, text, &x, d);
        memcpy(at, (double[VERBS]){ [VERB_GET] = x / 100, [VERB_SET] = 1 - x / 100 },
               sizeof p->share);
        return e;
    case TYPE_MIX:
        return mix_parse(o, text, at, d);
    case TYPE_TEXT:
        *(const char **)at = text;
        return ERR_OK;
    case TYPE_YES:
    case TYPE_NO:
        *(bool *)at = o->type == TYPE_YES;
        return ERR_OK;
    case TYPE_OUTPUT:
        return output_parse(o, text, at, d);
    case TYPE_DIALECT:
        break;
    }
    return dialect_parse_name(text, at) ? ERR_OK
                                        : option_bad(o, text, "want text, meta or binary", d);
}

/* -- the whole --------------------------------------------------------------------------------- */

/* True if the option of that name is among those given. */
static bool
is_given(uint64_t given, const char *name)
{
    size_t i = 0;

    while (i < ROWS && strcmp(rows[i].name, name) != 0) {
        i++;
    }
    assert(i < ROWS);
    return given >> i & 1;
}

/* Options that mean nothing together. */
static err_t
plan_check_given(uint64_t given, struct err_detail *d)
{
    static const struct {
        const char *one, *other;
    } apart[] = {
        { "gets", "mix" },          { "trace", "gets" },       { "trace", "mix" },
        { "trace", "multi" },       { "trace", "rate" },       { "trace", "requests" },
        { "trace", "warmup" },      { "trace", "keys" },       { "trace", "counters" },
        { "trace", "key-size" },    { "trace", "value-size" }, { "trace", "ttl" },
        { "trace", "zipf" },        { "trace", "set-on-miss" }, { "trace", "no-prefill" },
        { "requests", "seconds" },
    };
    static const struct {
        const char *what, *with;
    } needs[] = {
        { "poisson", "rate" }, { "trace-speed", "trace" }, { "trace-warmup", "trace" },
    };

    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) {
        if (is_given(given, apart[i].one) && is_given(given, apart[i].other)) {
            return err_set(d, ERR_INVALID, "--%s and --%s do not go together", apart[i].one,
                           apart[i].other);
        }
    }
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (is_given(given, needs[i].what) && !is_given(given, needs[i].with)) {
            return err_set(d, ERR_INVALID, "--%s goes with --%s", needs[i].what, needs[i].with);
        }
    }
    return ERR_OK;
}

static err_t
size_parse(const char *name, const char *text, uint32_t min, uint32_t max, struct dist *ret,
           struct err_detail *d)
{
    struct err_detail why = { .text = "" };
    err_t e = dist_parse(text, min, max, ret, &why);

    return e ? err_set(d, e, "--%s %s: %s", name, text, why.text) : ERR_OK;
}

/* So many keys must have so many names. */
static err_t
key_size_parse(const struct plan *p, struct dist *ret, struct err_detail *d)
{
    uint32_t least = (uint32_t)keys_name_min(&p->keys);
    err_t e = size_parse("key-size", p->key_size, 1, KEYS_NAME_MAX, ret, d);

    if (e) {
        return e;
    }
    return size_parse("key-size", p->key_size, least, KEYS_NAME_MAX, ret, NULL)
               ? err_set(d, ERR_INVALID, "--key-size %s: names of so many keys have at least %u "
                         "bytes", p->key_size, least)
               : ERR_OK;
}

/* What follows from several options. */
static err_t
plan_finish(struct plan *p, uint64_t given, struct err_detail *d)
{
    err_t e = plan_check_given(given, d);

    if (!e && p->threads > p->connections) {
        e = err_set(d, ERR_INVALID, "--threads %u: more than there are connections", p->threads);
    }
    p->keys.seed = p->seed;
    if (p->share[VERB_INCR] <= 0) {
        p->keys.counters = 1; /* whose names need no room */
    }
    e = e ? e : key_size_parse(p, &p->keys.name_len, d);
    e = e ? e : size_parse("value-size", p->value_size, 0, VALUE_MAX, &p->keys.value_len, d);
    e = e ? e : size_parse("ttl", p->ttl, 0, TRACE_TTL_MAX, &p->keys.ttl, d);
    if (p->trace) {
        p->prefill = false;
        p->set_on_miss = true;
        p->depth = is_given(given, "depth") ? p->depth : TRACE_DEPTH;
        p->keys.value_len = (struct dist){ .form = DIST_EVEN, .max = TRACE_VALUE_MAX };
    }
    if (p->trace || p->requests > 0) {
        p->duration = is_given(given, "seconds") ? p->duration : 0;
        p->warmup = is_given(given, "warmup") ? p->warmup : 0;
    }
    return e;
}

static err_t
options_read(int argc, char **argv, struct plan *p, uint64_t *given, struct err_detail *d)
{
    struct option options[ROWS + 1] = { { 0 } };
    int option, index;

    for (index = 0; index < (int)ROWS; index++) {
        options[index] = (struct option){ .name = rows[index].name,
                                          .has_arg = rows[index].arg != NULL,
                                          .val = OPTION_BASE + index };
    }
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, "+:s:", options, NULL)) != -1) {
        err_t e;

        if (option == '?' || option == ':') {
            return err_set(d, ERR_INVALID,
                           option == '?' ? "%s: no such option" : "%s: wants a value",
                           argv[optind - 1]);
        }
        index = option == 's' ? 0 : option - OPTION_BASE;
        e = option_set(&rows[index], optarg, p, d);
        if (e) {
            return e;
        }
        *given |= UINT64_C(1) << index;
    }
    return ERR_OK;
}

err_t
plan_parse(int argc, char **argv, struct plan *ret, int *ret_rest, struct err_detail *d)
{
    struct plan p = {
        .dialect = DIALECT_TEXT, .threads = 1, .connections = 50, .depth = 1, .multi = 1,
        .share = { [VERB_GET] = 0.9, [VERB_SET] = 0.1 },
        .keys = { .count = 100000, .counters = 1000 },
        .key_size = "24", .value_size = "100", .ttl = "0", .seed = 1, .prefill = true,
        .warmup = USEC_PER_SEC, .duration = 5 * USEC_PER_SEC, .trace_warmup = 0.3,
    };
    uint64_t given = 0;
    err_t e = options_read(argc, argv, &p, &given, d);

    e = e ? e : plan_finish(&p, given, d);
    if (!e) {
        *ret = p;
        *ret_rest = optind;
    }
    return e;
}

void
plan_fill_range(const struct plan *p, uint64_t *from, uint64_t *end)
{
    *from = p->share[VERB_INCR] < 1 ? 0 : p->keys.count;
    *end = p->keys.count + (p->share[VERB_INCR] > 0 ? p->keys.counters : 0);
}

/* -- prose ------------------------------------------------------------------------------------- */

/* "90 % get, 10 % set" and what they are about. */
static void
mix_print(const struct plan *p)
{
    for (int v = 0; v < VERBS; v++) {
        if (p->share[v] > 0) {
            printf(", %.4g %% %s", p->share[v] * 100, dialect_verb((enum verb)v));
        }
    }
    if (p->multi > 1) {
        printf(", %u keys a get", p->multi);
    }
    if (p->set_on_miss) {
        printf(", set on a miss");
    }
    if (p->share[VERB_INCR] > 0) {
        printf(", %llu counters", (unsigned long long)p->keys.counters);
    }
    printf(", %llu keys of %s bytes", (unsigned long long)p->keys.count, p->key_size);
    if (p->keys.zipf > 0) {
        printf(" (zipf %.3g)", p->keys.zipf);
    }
    printf(", values of %s bytes", p->value_size);
    if (p->keys.ttl.max > 0) {
        printf(" for %s s", p->ttl);
    }
}

void
plan_print(const struct plan *p)
{
    printf("%s, %u connection%s", dialect_name(p->dialect), p->connections,
           p->connections == 1 ? "" : "s");
    if (p->threads > 1) {
        printf(" of %u threads", p->threads);
    }
    if (p->idle > 0) {
        printf(" and %u idle", p->idle);
    }
    printf(", depth %u", p->depth);
    if (p->rate > 0) {
        printf(", %g requests/s%s", p->rate, p->poisson ? " at random" : "");
    }
    if (p->trace) {
        printf(", trace %s", p->trace);
        if (p->trace_speed > 0) {
            printf(" at speed %g", p->trace_speed);
        }
    } else {
        mix_print(p);
    }
    printf("%s\n", p->verify ? ", verified" : "");
}
