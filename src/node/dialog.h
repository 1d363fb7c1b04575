/*
 * dialog.h - what one client says and is answered: input to commands, commands to replies.
 *
 * The inside of a session (session.h), which is about buffers and turns: here commands are parsed
 * in batches, executed in three passes and answered in order.  All calls: the worker's thread, and
 * dialog_run() while the session holds the worker's buffers.
 */
#pragma once
#include "base/clock.h"
#include "node/input.h"
#include "node/session.h"
#include "node/txq.h"
#include "node/worker.h"
#include "proto/text.h"
#include "vocab/metrics.h"

struct dump;
struct pending;
struct request; /* node/link.h */
struct serve;   /* node/serve.h */
struct watcher;

enum dialog_protocol { DIALOG_UNKNOWN, DIALOG_TEXT, DIALOG_BINARY, DIALOG_PEER };

/*
 * What a dialog waits for that has sent commands to other nodes; meanwhile it takes no input.
 * WAIT_ALL: every answer, because the next command may not overtake those before it.
 */
enum dialog_wait { WAIT_NOTHING, WAIT_ROOM, WAIT_ALL };
/* The command at the front of the input has been begun, and its answers have come since. */
enum dialog_begun { BEGUN_NOTHING, BEGUN_FLUSH, BEGUN_LINE };

/* Zeroed but for worker and accepts: a client that has not said anything. */
struct dialog {
    struct worker       *worker;
    struct input         in;
    struct txq           out;
    struct text_parser   parser;
    struct pending      *pending; /* the command whose value is being received, or NULL */
    struct dump         *dump;    /* the list of keys that is being answered, or NULL */
    struct watcher      *watcher; /* the client watches and is not listened to any more, or NULL */
    uint64_t             swallow; /* bytes of input to throw away next */
    usec_t               active;  /* time of the last command, or bytes of a value */
    enum session_accepts accepts;
    enum dialog_protocol speaks;
    bool                 waiting; /* the input ends within a value */
    bool                 work;    /* input was left although it could be executed */
    bool                 closing; /* no more input is taken; over when out is empty */
    bool                 broken;  /* ... because it could not be followed, or there was no memory */
    bool                 is_datagram; /* the input is whole: no more of it is waited for */
    bool                 lost;    /* an answer was, for lack of memory: it cannot go on */
    bool                 answered; /* in the list of those that got answers */
    bool                 line_failed;  /* keys of the line in work have no answer */
    bool                 line_loud;    /* ... and that is an error, said at its end */
    bool                 flush_failed; /* a node has not flushed, or does not say so */
    bool                 part_first;   /* serve_tx() named a part in front of answers */
    enum dialog_wait     wait;
    enum dialog_begun    begun;
    struct request      *requests; /* list of frames whose answers it awaits */
    uint64_t             ring;     /* number of the ring by which they were sent */
    uint32_t             expect;   /* bytes of another node's answer, going by those before; 0: none
                                      came yet */
    struct dialog       *answered_next;
    struct serve        *serve;    /* of a connection of another node, else NULL */
};

/*
 * Executes what is there until the input is used up, or there is no room for replies, or the turn
 * was long enough (sets work in these two cases).  The time is the worker's.
 */
void dialog_run(struct dialog *d);

/* Answers one command. */
void dialog_reply(struct dialog *d, const struct command *c, const struct reply *r);

#define DIALOG_EXPECT      (32u << 10)  /* bytes: of an answer to who has got none yet */
#define DIALOG_EXPECT_LONG (256u << 10) /* the same to who has got one in parts */

/* Bytes that one more answer of another node is expected to have. */
static inline size_t
dialog_expect(const struct dialog *d)
{
    return d->expect > 0 ? d->expect : DIALOG_EXPECT;
}

/* Answers of other nodes came: it may have room again, or what it waited for. */
void dialog_answered(struct dialog *d);

/* Takes no more input because there is no memory for it, and says so. */
void dialog_starve(struct dialog *d);
/* Gives up: counts the reason, and drops input and replies. */
void dialog_fail(struct dialog *d, enum metric reason);
/* Drops everything held. */
void dialog_fini(struct dialog *d);
/* And forgets what was said: a client that has not said anything. */
void dialog_reset(struct dialog *d);
