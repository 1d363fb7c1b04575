#include "bench/pipeline.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct pipeline p;

static struct slot *
push(enum verb verb, uint64_t id)
{
    struct slot *s = pipeline_new(&p, verb, 0);

    pipeline_add(&p, s, id);
    pipeline_push(&p);
    return s;
}

/* The rings turn over many times, and every request keeps its keys. */
Test(pipeline, requests_come_out_as_they_went_in)
{
    uint64_t in = 0, out = 0;

    cr_assert(zero(int, pipeline_init(&p, 5, 7, false, false)));
    for (int i = 0; i < 10000; i++) {
        if (p.used < 5 && i % 3 != 0) {
            struct slot *s = pipeline_new(&p, VERB_GET, (nsec_t)in);

            for (uint64_t k = 0; k <= in % 7; k++) {
                pipeline_add(&p, s, in * 100 + k);
            }
            pipeline_push(&p);
            in++;
        } else if (p.used > 0) {
            const struct slot *s = pipeline_oldest(&p);

            cr_assert(eq(i64, s->start, (nsec_t)out));
            cr_assert(eq(uint, s->count, (unsigned)(out % 7) + 1));
            for (unsigned k = 0; k < s->count; k++) {
                cr_assert(eq(u64, pipeline_id(&p, s, k), out * 100 + k));
            }
            pipeline_drop(&p);
            out++;
        }
    }
    cr_expect(gt(u64, out, 3000));
    pipeline_fini(&p);
}

/* The worst case: all gets miss all keys, and each key is stored. */
Test(pipeline, there_is_room_for_the_set_of_every_key)
{
    enum { DEPTH = 3, MULTI = 5 };

    cr_assert(zero(int, pipeline_init(&p, DEPTH, MULTI, true, false)));
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < DEPTH; i++) {
            struct slot *s = pipeline_new(&p, VERB_GET, 0);

            for (unsigned k = 0; k < MULTI; k++) {
                pipeline_add(&p, s, (uint64_t)i * MULTI + k);
            }
            pipeline_push(&p);
        }
        for (int i = 0; i < DEPTH; i++) {
            const struct slot *s = pipeline_oldest(&p);

            for (unsigned k = 0; k < MULTI; k++) {
                push(VERB_SET, pipeline_id(&p, s, k));
            }
            pipeline_drop(&p);
        }
        for (uint64_t i = 0; i < DEPTH * MULTI; i++) {
            cr_assert(eq(u64, pipeline_id(&p, pipeline_oldest(&p), 0), i));
            pipeline_drop(&p);
        }
    }
    cr_expect(zero(uint, p.used));
    pipeline_fini(&p);
}

Test(pipeline, what_is_under_way_for_a_key_is_found)
{
    cr_assert(zero(int, pipeline_init(&p, 8, 1, true, true)));
    push(VERB_GET, 1)->fills = true;
    push(VERB_GET, 2);
    cr_expect(pipeline_awaits(&p, 1));
    cr_expect(not(pipeline_awaits(&p, 2)), "it stores nothing");
    cr_expect(not(pipeline_stores(&p, 1)));
    pipeline_describe(push(VERB_SET, 1), SLICE("name"), 10);
    cr_expect(pipeline_stores(&p, 1));
    pipeline_drop(&p);
    cr_expect(not(pipeline_awaits(&p, 1)));
    pipeline_drop(&p);
    cr_expect(not(pipeline_stores(&p, 1)), "the set is the oldest itself");
    cr_expect(slice_is(slice_of(pipeline_oldest(&p)->item.name, pipeline_oldest(&p)->item.name_len),
                       "name"));
    pipeline_fini(&p);
}
