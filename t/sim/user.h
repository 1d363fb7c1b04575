/*
 * user.h - a simulated client: talks to any node in one of the three protocols, and writes into the
 * history what it asked and was answered.
 *
 * Answers are read to the byte: one that belongs to another request, comes twice or not at all ends
 * the run.  A connection that fails leaves what was asked on it unknown; the user goes on with
 * another node.
 */
#pragma once
#include "base/buf.h"
#include "base/rng.h"
#include "history.h"
#include "host.h"
#include "paths.h"
#include "tcp.h"

#define USER_ASKS_MAX 64

enum user_speaks { USER_TEXT, USER_META, USER_BINARY, USER_SPEAKS };

/* A request under way; its operations have numbers in a row. */
struct ask {
    enum ask_form { ASK_ONE, ASK_MULTI, ASK_MULTI_QUIET } form;
    uint32_t first, count;
    uint32_t seen;    /* MULTI: those before are answered */
    bool is_doubtful; /* an error was heard that does not say of whom */
};

struct known {
    uint64_t token;
    struct content content;
};

struct user_config {
    struct host *const *host;
    unsigned hosts;
    unsigned keys;
    unsigned depth; /* unanswered requests at most */
    usec_t think;   /* between bursts, on average */
    double rate;    /* operations in a second, at most */
    uint32_t large; /* bytes of the largest values; most are short */
    bool is_strict; /* no answer may be an error */
    bool is_slow;   /* reads a few bytes at a time */
    bool flushes;   /* everything, now and then */
    bool hangs_up;  /* now and then, in the middle */
};

struct user {
    struct world *world;
    struct paths *paths;
    struct history *history;
    struct user_config config;
    struct rng rng;
    unsigned index;
    enum user_speaks speaks;
    struct tcp_end *tcp;
    usec_t began;
    unsigned at;    /* the host it talks to */
    usec_t called;  /* when it last called it */
    struct buf out; /* to be sent */
    struct buf in;  /* received, not understood yet */
    struct ask ask[USER_ASKS_MAX];
    unsigned first, count;
    usec_t head_at; /* since when the first one is the first */
    struct timer act, look;
    struct known *known; /* of each key */
    bool stopped;        /* asks nothing more */
    uint64_t asked, errors;
};

void user_init(struct user *u, struct world *w, struct paths *p, struct history *h, unsigned index,
               const struct user_config *config);
/* The run is over: forgets what is under way. */
void user_fini(struct user *u);
void user_start(struct user *u);
/* Asks nothing more, hears what is owed. */
void user_stop(struct user *u);
/* Ends its connection. */
void user_leave(struct user *u);
/* Since when the node it asked, which could answer, has not: 0 if it has no reason to wait. */
usec_t user_waits_since(const struct user *u);

/* For a test by the simulation itself: one operation through this host; the number. */
uint32_t user_ask_now(struct user *u, unsigned host, enum act act, unsigned key);
