#include "vocab/reply.h"

#include <assert.h>

static const struct {
    const char *text;
    const char *meta;
    uint16_t    status;
} reply_rows[] = {
#define REPLY(id, text_, meta_, status_) \
    [RPL_##id] = { .text = (text_), .meta = (meta_), .status = (status_) },
#include "vocab/replies.def"
};

const char *
reply_text(enum reply_code code)
{
    assert((unsigned)code < REPLIES);
    return reply_rows[code].text;
}

const char *
reply_meta(enum reply_code code)
{
    assert((unsigned)code < REPLIES);
    return reply_rows[code].meta;
}

uint16_t
reply_status(enum reply_code code)
{
    assert((unsigned)code < REPLIES);
    return reply_rows[code].status;
}
