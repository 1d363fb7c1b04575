/*
 * gates.h - figures of a simulated cluster, and how far they may be from what they should be.
 *
 * In the short form, of `make check`, runs are few and clusters small.  In the long one, of `make
 * sim`, the figures are also written as the page doc/simulation.md.
 */
#pragma once
#include <stdbool.h>
#include <stdio.h>

struct gates {
    bool     full;
    unsigned jobs;   /* processes at a time */
    FILE    *page;   /* NULL: none */
    const char *only; /* NULL: all; or a part of the name of one */
    unsigned passed, failed;
};

/* Runs them, prints each, counts. */
void gates_run(struct gates *g);
