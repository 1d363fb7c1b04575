/*
 * options.h - what the node is told at start: defaults, file, environment, arguments.
 *
 * Understands memcached's command line (letters, long options, -o lists), every
 * setting as --name=value, a file of settings (--config, MAGPIE_CONFIG, or
 * /etc/magpie/magpie.conf where that exists) and the environment (MAGPIE_NAME).  Later ones win.
 * Prints its own messages.  At start, before threads.
 */
#pragma once
#include "vocab/settings.h"

enum options_verdict {
    OPTIONS_RUN,  /* *ret is filled: start */
    OPTIONS_DONE, /* the question is answered on standard output: exit 0 */
    OPTIONS_BAD,  /* said why on standard error: exit 64 */
};

/* Reads all four sources into *ret. */
enum options_verdict options_read(struct settings *ret, int argc, char **argv);
