#include "bench/plan.h"
#include "base/num.h"
#include "bench/keys.h"
#include "vocab/limits.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS_MAX 20000u
#define DEPTH_MAX       4096u
#define MULTI_MAX       4096u
#define KEYS_MAX        (UINT64_C(1) << 31)

enum plan_option {
    PLAN_PROTOCOL = 256,
    PLAN_CONNECTIONS,
    PLAN_DEPTH,
    PLAN_MULTI,
    PLAN_GETS,
    PLAN_KEYS,
    PLAN_KEY_SIZE,
    PLAN_VALUE_SIZE,
    PLAN_ZIPF,
    PLAN_SEED,
    PLAN_SECONDS,
    PLAN_WARMUP,
    PLAN_NO_PREFILL,
    PLAN_VERIFY,
    PLAN_PID,
    PLAN_ROUNDS,
    PLAN_ROW,
};

static const struct option options[] = {
    { "server", required_argument, NULL, 's' },
    { "protocol", required_argument, NULL, PLAN_PROTOCOL },
    { "connections", required_argument, NULL, PLAN_CONNECTIONS },
    { "depth", required_argument, NULL, PLAN_DEPTH },
    { "multi", required_argument, NULL, PLAN_MULTI },
    { "gets", required_argument, NULL, PLAN_GETS },
    { "keys", required_argument, NULL, PLAN_KEYS },
    { "key-size", required_argument, NULL, PLAN_KEY_SIZE },
    { "value-size", required_argument, NULL, PLAN_VALUE_SIZE },
    { "zipf", required_argument, NULL, PLAN_ZIPF },
    { "seed", required_argument, NULL, PLAN_SEED },
    { "seconds", required_argument, NULL, PLAN_SECONDS },
    { "warmup", required_argument, NULL, PLAN_WARMUP },
    { "no-prefill", no_argument, NULL, PLAN_NO_PREFILL },
    { "verify", no_argument, NULL, PLAN_VERIFY },
    { "pid", required_argument, NULL, PLAN_PID },
    { "rounds", required_argument, NULL, PLAN_ROUNDS },
    { "row", required_argument, NULL, PLAN_ROW },
    { NULL, 0, NULL, 0 },
};

void
plan_print_help(void)
{
    fputs("  -s, --server PLACE   HOST, HOST:PORT or the path of a socket (127.0.0.1:11211)\n"
          "  --protocol NAME      text, meta or binary (text)\n"
          "  --connections N      (50)\n"
          "  --depth N            requests under way on each connection (1)\n"
          "  --multi N            keys of one get; binary: getkq and a noop (1)\n"
          "  --gets PERCENT       requests that fetch; the others store (90)\n"
          "  --keys N             (100000)\n"
          "  --key-size BYTES     12..250 (24)\n"
          "  --value-size BYTES   or MIN-MAX, even between them (100)\n"
          "  --zipf EXPONENT      how uneven the keys are chosen, 0: all alike (0)\n"
          "  --seed N             of every choice (1)\n"
          "  --seconds S          measured, behind --warmup S (5, 1)\n"
          "  --no-prefill         do not store every key first\n"
          "  --verify             compare every value with what was stored\n"
          "  --pid PID            of the server: counts its CPU time\n",
          stdout);
}

static err_t
option_bad(const char *name, const char *text, const char *want, struct err_detail *d)
{
    return err_set(d, ERR_INVALID, "--%s %s: %s", name, text, want);
}

static err_t
number_parse(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
             struct err_detail *d)
{
    uint64_t n;
    char want[64];

    if (!num_parse_u64(slice_of(text, strlen(text)), &n) || n < min || n > max) {
        snprintf(want, sizeof want, "want %llu..%llu", (unsigned long long)min,
                 (unsigned long long)max);
        return option_bad(name, text, want, d);
    }
    *ret = n;
    return ERR_OK;
}

static err_t
small_parse(const char *name, const char *text, unsigned max, unsigned *ret, struct err_detail *d)
{
    uint64_t n = 0;
    err_t e = number_parse(name, text, 1, max, &n, d);

    if (!e) {
        *ret = (unsigned)n;
    }
    return e;
}

static err_t
real_parse(const char *name, const char *text, double max, double *ret, struct err_detail *d)
{
    char *end, want[64];
    double n = strtod(text, &end);

    if (end == text || *end || !(n >= 0 && n <= max)) {
        snprintf(want, sizeof want, "want 0..%g", max);
        return option_bad(name, text, want, d);
    }
    *ret = n;
    return ERR_OK;
}

static err_t
seconds_parse(const char *name, const char *text, usec_t *ret, struct err_detail *d)
{
    double seconds = 0;
    err_t e = real_parse(name, text, 86400, &seconds, d);

    if (!e) {
        *ret = (usec_t)(seconds * (double)USEC_PER_SEC);
    }
    return e;
}

/* "100" or "100-2000" */
static err_t
size_parse(const char *name, const char *text, struct plan *p, struct err_detail *d)
{
    const char *dash = strchr(text, '-');
    struct slice min = slice_of(text, dash ? (size_t)(dash - text) : strlen(text));
    struct slice max = dash ? slice_of(dash + 1, strlen(dash + 1)) : min;

    if (!num_parse_u32(min, &p->keys.value_min) || !num_parse_u32(max, &p->keys.value_max) ||
        p->keys.value_min > p->keys.value_max || p->keys.value_max > VALUE_MAX) {
        return option_bad(name, text, "want BYTES or MIN-MAX, at most 2^30", d);
    }
    return ERR_OK;
}

/* The options that say how requests look. */
static err_t
shape_parse(int option, const char *name, const char *text, struct plan *p, struct err_detail *d)
{
    uint64_t n = 0;
    err_t e;

    switch (option) {
    case PLAN_PROTOCOL:
        return dialect_parse_name(text, &p->dialect)
                   ? ERR_OK
                   : option_bad(name, text, "want text, meta or binary", d);
    case PLAN_CONNECTIONS:
        return small_parse(name, text, CONNECTIONS_MAX, &p->connections, d);
    case PLAN_DEPTH:
        return small_parse(name, text, DEPTH_MAX, &p->depth, d);
    case PLAN_MULTI:
        return small_parse(name, text, MULTI_MAX, &p->multi, d);
    case PLAN_GETS:
        return real_parse(name, text, 100, &p->get_percent, d);
    case PLAN_KEYS:
        return number_parse(name, text, 1, KEYS_MAX, &p->keys.count, d);
    case PLAN_KEY_SIZE:
        e = number_parse(name, text, KEYS_NAME_MIN, KEYS_NAME_MAX, &n, d);
        p->keys.name_len = (size_t)n;
        return e;
    case PLAN_VALUE_SIZE:
        return size_parse(name, text, p, d);
    default:
        return real_parse(name, text, 10, &p->keys.zipf, d);
    }
}

/* The options that say how a run goes. */
static err_t
run_parse(int option, const char *name, const char *text, struct plan *p, struct err_detail *d)
{
    uint64_t n = 0;
    err_t e;

    switch (option) {
    case 's':
        p->place = text;
        return ERR_OK;
    case PLAN_SEED:
        e = number_parse(name, text, 0, UINT64_MAX, &p->seed, d);
        p->keys.seed = p->seed;
        return e;
    case PLAN_SECONDS:
        e = seconds_parse(name, text, &p->duration, d);
        return e || p->duration > 0 ? e : option_bad(name, text, "want more than 0", d);
    case PLAN_WARMUP:
        return seconds_parse(name, text, &p->warmup, d);
    case PLAN_NO_PREFILL:
        p->prefill = false;
        return ERR_OK;
    case PLAN_VERIFY:
        p->verify = true;
        return ERR_OK;
    case PLAN_PID:
        e = number_parse(name, text, 1, INT32_MAX, &n, d);
        p->pid = (pid_t)n;
        return e;
    case PLAN_ROUNDS:
        return small_parse(name, text, 1000, &p->rounds, d);
    default:
        p->row = text;
        return ERR_OK;
    }
}

err_t
plan_parse(int argc, char **argv, struct plan *ret, int *ret_rest, struct err_detail *d)
{
    struct plan p = {
        .dialect = DIALECT_TEXT, .connections = 50,  .depth = 1,       .multi = 1,
        .get_percent = 90, .seed = 1, .prefill = true, .warmup = USEC_PER_SEC,
        .duration = 5 * USEC_PER_SEC, .rounds = 5,
        .keys = { .count = 100000, .name_len = 24, .value_min = 100, .value_max = 100,
                  .seed = 1 },
    };
    int option, index = 0;

    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, "+:s:", options, &index)) != -1) {
        const char *name = option == 's' ? "server" : option >= 256 ? options[index].name : "";
        err_t e;

        if (option == '?' || option == ':') {
            return err_set(d, ERR_INVALID,
                           option == '?' ? "%s: no such option" : "%s: wants a value",
                           argv[optind - 1]);
        }
        e = option >= PLAN_PROTOCOL && option <= PLAN_ZIPF
                ? shape_parse(option, name, optarg, &p, d)
                : run_parse(option, name, optarg, &p, d);
        if (e) {
            return e;
        }
    }
    *ret = p;
    *ret_rest = optind;
    return ERR_OK;
}

void
plan_print(const struct plan *p)
{
    char choice[32] = "uniform";

    if (p->keys.zipf > 0) {
        snprintf(choice, sizeof choice, "zipf %.3g", p->keys.zipf);
    }
    printf("%s, %u connections, depth %u, %u key%s a get, %g %% gets, %llu keys (%s), values of "
           "%u..%u bytes%s\n",
           dialect_name(p->dialect), p->connections, p->depth, p->multi, p->multi == 1 ? "" : "s",
           p->get_percent, (unsigned long long)p->keys.count, choice, p->keys.value_min, p->keys.value_max,
           p->verify ? ", verified" : "");
}
