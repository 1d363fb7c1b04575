#include "bench/plan.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#define WORDS_MAX 16

static struct plan plan;
static struct err_detail why;
static char room[400];

/* Parses words with blanks between; false: why says why not. */
static bool
parsed(const char *words)
{
    static char name[] = "magpie-bench";
    char *argv[WORDS_MAX] = { name };
    int argc = 1, rest;

    snprintf(room, sizeof room, "%s", words);
    for (char *w = strtok(room, " "); w; w = strtok(NULL, " ")) {
        cr_assert(argc < WORDS_MAX - 1);
        argv[argc++] = w;
    }
    why.text[0] = '\0';
    return !plan_parse(argc, argv, &plan, &rest, &why) && rest == argc;
}

Test(plan, the_defaults_are_those_of_the_help)
{
    cr_assert(parsed(""));
    cr_expect(plan.connections == 50 && plan.threads == 1 && plan.depth == 1 && plan.multi == 1);
    cr_expect(plan.share[VERB_GET] == 0.9 && plan.share[VERB_DELETE] == 0);
    cr_expect(plan.keys.count == 100000 && plan.keys.value_len.max == 100);
    cr_expect(plan.keys.name_len.min == 24 && plan.keys.ttl.max == 0);
    cr_expect(plan.duration == 5 * USEC_PER_SEC && plan.warmup == USEC_PER_SEC);
    cr_expect(plan.prefill && !plan.verify && plan.requests == 0 && plan.rate == 0);
}

Test(plan, options_are_read)
{
    cr_assert(parsed("-s place --protocol meta --connections 7 --threads 2 --idle 9 --depth 3"),
              "%s", why.text);
    cr_expect(eq(str, (char *)(uintptr_t)plan.place, "place"));
    cr_expect(plan.dialect == DIALECT_META && plan.connections == 7 && plan.threads == 2);
    cr_expect(plan.idle == 9 && plan.depth == 3);
    cr_assert(parsed("--server=x --multi 4 --keys 10 --key-size 3-9 --value-size 5:1,9:1 --ttl 7"));
    cr_expect(plan.multi == 4 && plan.keys.count == 10 && plan.keys.ttl.min == 7);
    cr_expect(plan.keys.value_len.min == 5 && plan.keys.value_len.max == 9);
    cr_assert(parsed("--seed 18446744073709551615 --zipf 0.99 --flags --verify --no-prefill"));
    cr_expect(plan.seed == UINT64_MAX && plan.keys.seed == UINT64_MAX && plan.keys.flags);
    cr_expect(plan.keys.zipf == 0.99 && plan.verify && !plan.prefill);
    cr_assert(parsed("--rate 1000.5 --poisson --seconds 0.25 --warmup 0 --output json --pid 17"));
    cr_expect(plan.rate == 1000.5 && plan.poisson && plan.duration == 250000 && plan.warmup == 0);
    cr_expect(plan.output == PLAN_OUTPUT_JSON && plan.pid == 17);
}

Test(plan, shares_add_up_to_one)
{
    cr_assert(parsed("--gets 70"));
    cr_expect(plan.share[VERB_GET] == 0.7);
    cr_expect(plan.share[VERB_GET] + plan.share[VERB_SET] == 1);
    cr_assert(parsed("--mix incr=1,get=2,set=1"));
    cr_expect(plan.share[VERB_GET] == 0.5 && plan.share[VERB_SET] == 0.25);
    cr_expect(plan.share[VERB_INCR] == 0.25 && plan.share[VERB_DELETE] == 0);
}

Test(plan, requests_and_traces_last_as_long_as_they_do)
{
    cr_assert(parsed("--requests 10"));
    cr_expect(plan.requests == 10 && plan.duration == 0 && plan.warmup == 0);
    cr_assert(parsed("--requests 10 --warmup 2"));
    cr_expect(plan.warmup == 2 * USEC_PER_SEC);
    cr_assert(parsed("--trace file --trace-speed 2 --trace-warmup 0.5"));
    cr_expect(plan.duration == 0 && plan.warmup == 0 && !plan.prefill && plan.set_on_miss);
    cr_expect(plan.trace_speed == 2 && plan.trace_warmup == 0.5 && plan.depth == 32);
    cr_assert(parsed("--trace file --seconds 3 --depth 1"));
    cr_expect(plan.depth == 1 && plan.duration == 3 * USEC_PER_SEC);
}

Test(plan, what_makes_no_sense_is_refused_with_a_reason)
{
    static const char *const rows[] = {
        "--frob", "--seed", "--protocol x", "--connections 0", "--connections 20001",
        "--connections x", "--threads 51", "--threads 0", "--depth 0", "--multi 4097",
        "--gets 101", "--gets -1", "--gets x", "--mix", "--mix get", "--mix get=", "--mix get=x",
        "--mix get=1,get=2", "--mix get=1,", "--mix get=-1", "--mix get=0", "--mix frob=1",
        "--mix get=1set=2",
        "--mix get=nan", "--gets 5 --mix get=1", "--keys 0", "--keys 2147483649", "--key-size 4",
        "--keys 10 --key-size 2", "--key-size 251", "--value-size x", "--value-size 1073741825",
        "--ttl x", "--zipf -1", "--zipf 11", "--zipf nan", "--seconds 0", "--seconds 86401",
        "--requests 0", "--requests 5 --seconds 5", "--rate -1", "--poisson",
        "--trace-speed 5", "--trace-warmup 0.5", "--trace f --multi 2", "--trace f --requests 5",
        "--trace f --rate 5", "--trace f --trace-warmup 1.5", "--output xml", "--pid 0",
        "--verify=x", "--rounds 0",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect(not(parsed(rows[i])), "%s", rows[i]);
        cr_expect(ne(chr, why.text[0], '\0'), "%s", rows[i]);
    }
}
