/*
 * A mailbox between two threads, for ThreadSanitizer and for order: every message arrives once, in
 * the order it was sent, with what was written before it was sent; and nobody sleeps on a message.
 */
#include "net/mailbox.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGES 200000u
#define CAPACITY 64u

struct letter {
    uint32_t number;
    uint32_t text; /* not atomic: only the mailbox orders it */
};

struct receiver {
    struct loop    loop;
    struct mailbox mailbox;
    uint32_t       expected;
};

static void
receive(void *arg, void *message)
{
    struct receiver *r = arg;
    struct letter *letter = message;

    assert(letter->number == r->expected);
    assert(letter->text == letter->number * 2654435761u);
    free(letter);
    r->expected++;
    if (r->expected == MESSAGES) {
        loop_stop(&r->loop);
    }
}

static void *
receiver_main(void *arg)
{
    struct receiver *r = arg;

    loop_run(&r->loop);
    return NULL;
}

int
main(void)
{
    /* The ring's two ends have cache lines of their own. */
    static struct receiver r;
    pthread_t thread;
    unsigned full = 0;

    if (loop_init(&r.loop) || mailbox_init(&r.mailbox, &r.loop, CAPACITY, receive, &r)) {
        fprintf(stderr, "no memory\n");
        return 1;
    }
    if (pthread_create(&thread, NULL, receiver_main, &r) != 0) {
        fprintf(stderr, "no thread\n");
        return 1;
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct letter *letter = malloc(sizeof *letter);

        assert(letter != NULL);
        *letter = (struct letter){ .number = i, .text = i * 2654435761u };
        while (!mailbox_put(&r.mailbox, letter)) {
            full++;
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
    assert(r.expected == MESSAGES);
    assert(mailbox_take(&r.mailbox) == NULL);
    mailbox_fini(&r.mailbox);
    loop_fini(&r.loop);
    printf("%u messages, the ring was full %u times\n", MESSAGES, full);
    return 0;
}
