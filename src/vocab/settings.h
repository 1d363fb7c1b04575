/*
 * settings.h - what the node can be told: typed values, one way in, several ways out.
 *
 * settings.def declares every setting once; this module makes a struct per section from it, parses
 * and prints values, and knows memcached's names for them (letters, words of -o, long options, keys
 * of "stats settings").  It reads no file and no environment: whoever calls hands the text in, in
 * the order of precedence: defaults, file, environment, arguments, then live changes.
 *
 * Text forms: BOOL yes/no/on/off/true/false/1/0; BYTES a number with k, m, g or t (1024 each),
 * bare: bytes; USEC a number with us, ms, s, m, h or d, bare: seconds; OCTAL digits 0..7; CHOICE
 * one of its words.
 *
 * A struct settings is a plain value without pointers: copy it as you like.  A module is given the
 * section that concerns it (const struct settings_store *), not the whole.  One thread changes
 * settings; other threads read those marked LIVE with SETTINGS_LIVE().
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SETTINGS_TEXT_MAX 1024 /* bytes of a TEXT value, its NUL included */

/* The C types behind the types of settings.def. */
typedef bool     setting_BOOL;
typedef int64_t  setting_COUNT;
typedef size_t   setting_BYTES;
typedef usec_t   setting_USEC;
typedef double   setting_REAL;
typedef unsigned setting_OCTAL;
typedef unsigned setting_CHOICE; /* index of the word, from 0 */
typedef char     setting_TEXT[SETTINGS_TEXT_MAX];

/* Values of the CHOICE settings. */
enum settings_hash { SETTINGS_HASH_JENKINS, SETTINGS_HASH_MURMUR3, SETTINGS_HASH_XXH3 };
enum settings_protocol {
    SETTINGS_PROTOCOL_AUTO,
    SETTINGS_PROTOCOL_ASCII,
    SETTINGS_PROTOCOL_BINARY,
};

enum settings_placement {
    SETTINGS_PLACEMENT_NATIVE,
    SETTINGS_PLACEMENT_KETAMA_WEIGHTED,
    SETTINGS_PLACEMENT_KETAMA_OAT,
};
enum settings_peer_error { SETTINGS_PEER_ERROR_MISS, SETTINGS_PEER_ERROR_ERROR };
enum settings_profile { SETTINGS_PROFILE_LAN, SETTINGS_PROFILE_WAN, SETTINGS_PROFILE_LOCAL };

/* struct settings_store, struct settings_net, ... */
#define SECTION(name, title) struct settings_##name {
#define SETTING(section, name, type, ...) setting_##type name;
#define END_SECTION(name) };
#include "vocab/settings.def"

/* SETTING_memory_limit, ...: the index of a setting's row in setting_table. */
enum setting_id {
#define SETTING(section, name, ...) SETTING_##name,
#include "vocab/settings.def"
    SETTINGS
};

struct settings {
#define SECTION(name, title) struct settings_##name name;
#include "vocab/settings.def"
    unsigned char given[SETTINGS]; /* enum settings_source: nonzero if somebody set it */
};

enum settings_source { SETTINGS_FROM_DEFAULT, SETTINGS_FROM_NAME, SETTINGS_FROM_LETTER };

/* Reads a LIVE number or bool that another thread may be changing. */
#define SETTINGS_LIVE(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

enum setting_type {
    SETTING_TYPE_BOOL,
    SETTING_TYPE_COUNT,
    SETTING_TYPE_BYTES,
    SETTING_TYPE_USEC,
    SETTING_TYPE_REAL,
    SETTING_TYPE_OCTAL,
    SETTING_TYPE_TEXT,
    SETTING_TYPE_CHOICE,
};
enum setting_when { SETTING_WHEN_LIVE, SETTING_WHEN_BOOT };
enum setting_unit {
    SETTING_UNIT_ONE,
    SETTING_UNIT_KILO,
    SETTING_UNIT_MEGA,
    SETTING_UNIT_USEC,
    SETTING_UNIT_SECOND,
};

/* One row of settings.def; see there for the columns. */
struct setting {
    const char       *section;
    const char       *name;
    enum setting_type type;
    const char       *def;
    const char       *min;
    const char       *max;
    enum setting_when when;
    char              letter;
    const char       *alone; /* NULL: the letter takes an argument */
    const char       *word;
    enum setting_unit unit;
    const char       *stat;
    const char       *help;
    size_t            offset; /* of the value in struct settings */
};

/* All rows, in the order of settings.def and of enum setting_id. */
extern const struct setting setting_table[];
extern const size_t         setting_count;

/* The row, or NULL.  Names may be written with dashes for underscores. */
const struct setting *settings_find(const char *name);
const struct setting *settings_find_letter(char letter);
/* By word of -o, without "no_" and value. */
const struct setting *settings_find_word(struct slice word);
/* Its number in setting_table. */
enum setting_id settings_id(const struct setting *row);

/* Fills *s with the defaults; nothing is given. */
void settings_defaults(struct settings *s);

/*
 * Sets one value from its text form, whatever its "when".  On failure *s is unchanged and *d tells
 * the user why: ERR_UNKNOWN no such name, ERR_INVALID not of the type, ERR_RANGE outside min..max.
 */
MUST_CHECK err_t settings_set(struct settings *s, const char *name, const char *text,
                              struct err_detail *d);
/* The same where a bare number is in unit instead of bytes or seconds. */
MUST_CHECK err_t settings_set_row(struct settings *s, const struct setting *row, const char *text,
                                  enum setting_unit unit, struct err_detail *d);
/* True if the text is a value of the row's type and below its minimum. */
bool settings_is_below(const struct setting *row, const char *text, enum setting_unit unit);
/* As settings_set(), for a running node: ERR_DENIED if the setting needs a restart. */
MUST_CHECK err_t settings_set_live(struct settings *s, const char *name, const char *text,
                                   struct err_detail *d);
/*
 * memcached's option letter; arg is NULL if the letter takes none.  Bare numbers are in the row's
 * unit (-m 64 is 64 MiB), -v counts, -l adds to the list, -D turns detail_enabled on, -U sets the
 * TCP port as well unless -p gave it.  ERR_UNKNOWN: no setting has this letter.  Here and behind -o
 * *d is in memcached's words if it has some.
 */
MUST_CHECK err_t settings_set_letter(struct settings *s, char letter, const char *arg,
                                     struct err_detail *d);
/*
 * One element "word", "word=value" or "no_word" of memcached's -o list, or a whole list of them
 * separated by commas.  Words that have nothing to do here are accepted (idle_words in
 * settings_set.c) if their value is one that memcached takes; ERR_UNKNOWN: memcached does not know
 * the word either; ERR_DENIED: what it asks for does not exist here.
 */
MUST_CHECK err_t settings_set_words(struct settings *s, const char *list, struct err_detail *d);

/* memcached's long options. */
struct settings_long {
    const char *name;
    char        letter;
    bool        takes_value;
};
/* Ends with a row whose name is NULL; 'h', 'i', 'V', 'Z' and 'o' have no row in setting_table. */
extern const struct settings_long settings_long_options[];

/*
 * A whole file of lines "name = value"; "#" starts a comment, blank lines are skipped, a value may
 * stand in double quotes.  On failure *s is unchanged.  Messages start "FILE: line N: ".
 */
MUST_CHECK err_t settings_parse_text(struct settings *s, const char *filename, struct slice text,
                                     struct err_detail *d);
/*
 * An environment as of environ(7): MAGPIE_MEMORY_LIMIT=1g sets memory_limit.  On failure *s is
 * unchanged.  Variables of that prefix that name no setting are ERR_UNKNOWN.
 */
MUST_CHECK err_t settings_env(struct settings *s, char *const *environment, struct err_detail *d);

/* Looks at what single values cannot show: limits that depend on each other.  Call at start. */
MUST_CHECK err_t settings_check(const struct settings *s, struct err_detail *d);

#define SETTINGS_SLAB_SIZES_MAX 62 /* chunk sizes that may be given; slab_chunk_max is one more */

/* The numbers in slab_sizes, rising, all below or at slab_chunk_max; *count is 0 if none are given.
 */
MUST_CHECK err_t settings_slab_sizes(const struct settings *s,
                                     uint32_t ret[SETTINGS_SLAB_SIZES_MAX], unsigned *count,
                                     struct err_detail *d);
/* True if memcached's chunk sizes were asked for, by any setting that is about them. */
bool settings_has_geometry(const struct settings *s);

/*
 * Writes the value in the form settings_set() takes into out, NUL-terminated and cut at size;
 * returns the length it has in full.
 */
size_t settings_print(const struct settings *s, const struct setting *row, char *out, size_t size);
/*
 * Appends the options as --help shows them, without the rows for which shown() is false; NULL shows
 * all.  False: no memory.
 */
MUST_CHECK bool settings_print_help(struct buf *out, bool (*shown)(const struct setting *row));

/*
 * Calls emit for every key of "stats settings", in memcached's order and words.  "oldest" is not a
 * setting: emitted as "0".  Any thread, for LIVE values as they are now.
 */
void settings_each_stat(const struct settings *s,
                        void (*emit)(void *arg, const char *key, const char *value), void *arg);
