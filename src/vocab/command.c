#include "vocab/command.h"

#include <assert.h>

static const struct {
    const char       *word;
    enum command_kind kind;
    const char       *help;
} command_rows[] = {
#define COMMAND(id, word_, kind_, help_) \
    [OP_##id] = { .word = (word_), .kind = KIND_##kind_, .help = (help_) },
#include "vocab/commands.def"
};

const char *
op_word(enum op op)
{
    assert((unsigned)op < OPS);
    return command_rows[op].word;
}

enum command_kind
op_kind(enum op op)
{
    assert((unsigned)op < OPS);
    return command_rows[op].kind;
}

const char *
op_help(enum op op)
{
    assert((unsigned)op < OPS);
    return command_rows[op].help;
}
