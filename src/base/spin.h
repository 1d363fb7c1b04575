/*
 * spin.h - a lock for a few instructions, never held across anything that waits.
 *
 * A zeroed struct is an open lock.  Not recursive, not fair.  After some rounds a waiter gives its
 * processor away, because the holder may be asleep on a machine with fewer cores than threads.
 */
#pragma once
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SPIN_ROUNDS 100 /* of pausing before the processor is given away */

struct spin {
    _Atomic uint32_t held;
};

/* One pause in a loop that waits for another thread; round counts the pauses so far. */
static inline void
spin_pause(unsigned round)
{
    if (round >= SPIN_ROUNDS) {
        sched_yield();
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline bool
spin_try(struct spin *s)
{
    /* Looking first keeps waiters from pulling the cache line to and fro. */
    return atomic_load_explicit(&s->held, memory_order_relaxed) == 0 &&
           atomic_exchange_explicit(&s->held, 1, memory_order_acquire) == 0;
}

static inline void
spin_lock(struct spin *s)
{
    for (unsigned round = 0; !spin_try(s); round++) {
        spin_pause(round);
    }
}

static inline void
spin_unlock(struct spin *s)
{
    atomic_store_explicit(&s->held, 0, memory_order_release);
}
