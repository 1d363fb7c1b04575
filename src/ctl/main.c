/*
 * main.c - magpiectl: asks a running server, from a shell.
 */
#include "base/num.h"
#include "ctl/verbs.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define PLACE       "127.0.0.1:11211"
#define TIMEOUT     5 /* seconds */
#define TIMEOUT_MAX 3600

struct options {
    const char *place;
    const char *ttl;
    uint32_t    timeout; /* seconds */
    bool        help;
};

static int
help_print(void)
{
    puts("usage: magpiectl [-s PLACE] [--timeout SECONDS] VERB [WORD]...\n");
    verbs_print_help();
    puts("\n  -s, --server PLACE   HOST, HOST:PORT, [V6]:PORT or the path of a socket (" PLACE ")\n"
         "  --timeout SECONDS    for each step (5)\n"
         "  --                   the words behind it are no options\n"
         "\n"
         "Exit status: 0 done; 1 no such key; 2 wrong usage; 3 no server, or an error.");
    return VERBS_OK;
}

static int
usage_complain(const char *what, const char *why)
{
    fprintf(stderr, "magpiectl: %s: %s\nmagpiectl --help says more.\n", what, why);
    return VERBS_USAGE;
}

/* Reads the options, wherever they stand; 0, or an exit code. */
static int
options_read(int argc, char **argv, struct options *ret)
{
    static const struct option options[] = {
        { "server", required_argument, NULL, 's' },
        { "ttl", required_argument, NULL, 't' },
        { "timeout", required_argument, NULL, 'w' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":s:h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            ret->place = optarg;
            break;
        case 't':
            ret->ttl = optarg;
            break;
        case 'w':
            if (!num_parse_u32(slice_of(optarg, strlen(optarg)), &ret->timeout) ||
                ret->timeout == 0 || ret->timeout > TIMEOUT_MAX) {
                return usage_complain(optarg, "no timeout, want 1..3600 seconds");
            }
            break;
        case 'h':
            ret->help = true;
            break;
        default:
            return usage_complain(argv[optind - 1],
                                  option == ':' ? "wants a value" : "no such option");
        }
    }
    return 0;
}

static int
verb_run(const struct verb *verb, const struct options *o, struct verbs_call *call)
{
    enum verbs_exit status = VERBS_OK;
    struct err_detail d = { .text = "" };
    err_t e = link_open(&call->link, o->place, o->timeout * USEC_PER_SEC, &d);

    e = e ? e : verb->run(call, &status, &d);
    link_close(&call->link);
    if (e) {
        fprintf(stderr, "magpiectl: %s\n", d.text);
        return e == ERR_INVALID ? VERBS_USAGE : VERBS_FAILED;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("magpiectl: standard output cannot be written\n", stderr);
        return VERBS_FAILED;
    }
    return (int)status;
}

int
main(int argc, char **argv)
{
    struct options o = { .place = PLACE, .timeout = TIMEOUT };
    struct verbs_call call = { .argc = 0 };
    int status = options_read(argc, argv, &o);
    const struct verb *verb;

    if (status != 0) {
        return status;
    }
    if (o.help) {
        return help_print();
    }
    if (optind == argc) {
        return usage_complain("no verb", "want one of status, stats, get, set, ...");
    }
    verb = verbs_find(argv[optind]);
    if (!verb) {
        return usage_complain(argv[optind], "no such verb");
    }
    call.argc = argc - optind - 1;
    call.argv = argv + optind + 1;
    call.ttl = o.ttl;
    if (call.argc < verb->min || call.argc > verb->max || (o.ttl && !verb->takes_ttl)) {
        fprintf(stderr, "usage: magpiectl %s%s\n", verb->name, verb->usage);
        return VERBS_USAGE;
    }
    return verb_run(verb, &o, &call);
}
