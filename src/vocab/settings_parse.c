#include "vocab/settings.h"

#include "base/num.h"
#include "vocab/complaints.h"

#include <assert.h>

#define NAME_MAX_BYTES 64 /* of a setting's name, NUL included */
#define ENV_PREFIX     "MAGPIE_"

/* -- files --------------------------------------------------------------------------------- */

static bool
byte_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice
blanks_trim(struct slice text)
{
    while (text.len != 0 && byte_is_blank(text.ptr[0])) {
        text = slice_from(text, 1);
    }
    while (text.len != 0 && byte_is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* The line up to a "#" that stands outside quotes. */
static struct slice
comment_cut(struct slice line)
{
    bool quoted = false;

    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == '"') {
            quoted = !quoted;
        } else if (line.ptr[i] == '#' && !quoted) {
            line.len = i;
        }
    }
    return line;
}

/* A C string of the slice; false: too long, or a NUL in it. */
static bool
slice_copy(struct slice text, char *out, size_t size)
{
    if (text.len >= size || memchr(text.ptr, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

/* The value without its quotes; false: one quote is missing. */
static bool
quotes_cut(struct slice *value)
{
    if (value->len != 0 && value->ptr[0] == '"') {
        if (value->len < 2 ||
            memchr(value->ptr + 1, '"', value->len - 1) != value->ptr + value->len - 1) {
            return false;
        }
        *value = slice_of(value->ptr + 1, value->len - 2);
    }
    return true;
}

/* One line; blank ones change nothing. */
static err_t
line_parse(struct settings *s, struct slice line, struct err_detail *d)
{
    struct slice text = blanks_trim(comment_cut(line));
    char name[NAME_MAX_BYTES];
    char value[SETTINGS_TEXT_MAX];
    const char *sign;
    struct slice right;

    if (text.len == 0) {
        return ERR_OK;
    }
    sign = memchr(text.ptr, '=', text.len);
    if (sign == NULL) {
        return err_set(d, ERR_INVALID, "'%.*s' is not of the form name = value",
                       text.len > 64 ? 64 : (int)text.len, text.ptr);
    }
    if (!slice_copy(blanks_trim(slice_of(text.ptr, (size_t)(sign - text.ptr))), name,
                    sizeof name)) {
        return err_set(d, ERR_UNKNOWN, "no setting is called '%.64s...'", text.ptr);
    }
    right = blanks_trim(slice_from(text, (size_t)(sign - text.ptr) + 1));
    if (!quotes_cut(&right)) {
        return err_set(d, ERR_INVALID, "%s: quotes must stand around the whole value", name);
    }
    if (!slice_copy(right, value, sizeof value)) {
        return err_set(d, ERR_RANGE, "%s: the value is longer than %d bytes or holds a NUL", name,
                       SETTINGS_TEXT_MAX - 1);
    }
    return settings_set(s, name, value, d);
}

err_t
settings_parse_text(struct settings *s, const char *filename, struct slice text,
                    struct err_detail *d)
{
    struct settings next = *s;
    unsigned number = 1;

    for (; text.len != 0; number++) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);
        struct err_detail why = { "" };
        err_t e = line_parse(&next, slice_of(text.ptr, len), &why);

        if (e != ERR_OK) {
            return err_set(d, e, "%.100s: line %u: %s", filename, number, why.text);
        }
        text = slice_from(text, end == NULL ? len : len + 1);
    }
    *s = next;
    return ERR_OK;
}

/* -- environment --------------------------------------------------------------------------- */

/*
 * Container platforms describe a service called "magpie" in variables of our prefix:
 * MAGPIE_SERVICE_HOST=10.0.0.7, MAGPIE_PORT=tcp://10.0.0.7:11211, MAGPIE_PORT_11211_TCP=tcp://...
 */
static bool
variable_is_foreign(const char *name, const char *value)
{
    return strncmp(name, "SERVICE_", 8) == 0 || strncmp(name, "PORT_", 5) == 0 ||
           strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0;
}

static err_t
variable_parse(struct settings *s, const char *variable, struct err_detail *d)
{
    const char *start = variable + strlen(ENV_PREFIX);
    const char *sign = strchr(start, '=');
    char name[NAME_MAX_BYTES];
    struct err_detail why = { "" };
    err_t e;

    if (sign == NULL || variable_is_foreign(start, sign + 1)) {
        return ERR_OK;
    }
    if (!slice_copy(slice_of(start, (size_t)(sign - start)), name, sizeof name)) {
        return err_set(d, ERR_UNKNOWN, "environment: no setting is called '%.64s...'", start);
    }
    for (char *at = name; *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
    e = settings_set(s, name, sign + 1, &why);
    return e == ERR_OK ? ERR_OK
                       : err_set(d, e, "environment: " ENV_PREFIX "%.*s: %s", (int)(sign - start),
                                 start, why.text);
}

err_t
settings_env(struct settings *s, char *const *environment, struct err_detail *d)
{
    struct settings next = *s;

    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, ENV_PREFIX, strlen(ENV_PREFIX)) == 0) {
            err_t e = variable_parse(&next, *environment, d);

            if (e != ERR_OK) {
                return e;
            }
        }
    }
    *s = next;
    return ERR_OK;
}

/* -- settings that depend on each other ---------------------------------------------------- */

#define SLAB_PAGE  (1u << 20) /* memcached's page */
#define SLAB_ALIGN 8u

/* One number of slab_sizes; last is the one before it. */
static err_t
slab_size_parse(const struct settings_store *t, struct slice text, uint32_t last, uint32_t *ret,
                struct err_detail *d)
{
    uint32_t size = 0;

    if (!num_parse_u32(text, &size) || size < t->chunk_size || size > t->slab_chunk_max) {
        return err_set(d, ERR_RANGE, "slab size %u is out of valid range", size);
    }
    if (last >= size) {
        return err_set(d, ERR_RANGE,
                       "slab size %u cannot be lower than or equal to a previous class size", size);
    }
    if (size <= last + SLAB_ALIGN) {
        return err_set(d, ERR_RANGE,
                       "slab size %u must be at least %u bytes larger than previous class", size,
                       SLAB_ALIGN);
    }
    *ret = size;
    return ERR_OK;
}

err_t
settings_slab_sizes(const struct settings *s, uint32_t ret[SETTINGS_SLAB_SIZES_MAX],
                    unsigned *count, struct err_detail *d)
{
    const struct settings_store *t = &s->store;
    struct slice text = slice_of(t->slab_sizes, strlen(t->slab_sizes));

    *count = 0;
    while (text.len > 0) {
        const char *sign = memchr(text.ptr, '-', text.len);
        size_t len = sign == NULL ? text.len : (size_t)(sign - text.ptr);
        uint32_t last = *count > 0 ? ret[*count - 1] : 0, size = 0;

        if (len > 0) {
            err_t e = slab_size_parse(t, slice_of(text.ptr, len), last, &size, d);
            if (e != ERR_OK) {
                return e;
            }
            if (*count == SETTINGS_SLAB_SIZES_MAX) {
                return err_set(d, ERR_RANGE, "too many slab classes specified");
            }
            ret[(*count)++] = size;
        }
        text = slice_from(text, sign == NULL ? len : len + 1);
    }
    return ERR_OK;
}

bool
settings_has_geometry(const struct settings *s)
{
    return s->given[SETTING_growth_factor] || s->given[SETTING_chunk_size] ||
           s->given[SETTING_slab_chunk_max] || s->store.slab_sizes[0] != '\0';
}

static err_t
geometry_check(const struct settings *s, struct err_detail *d)
{
    const struct settings_store *t = &s->store;
    uint32_t sizes[SETTINGS_SLAB_SIZES_MAX];
    unsigned count;

    /* A small -I is fine by itself; memcached wants slab_chunk_max lowered with it. */
    if (s->given[SETTING_slab_chunk_max] && t->slab_chunk_max > t->item_size_max) {
        return err_set(d, ERR_RANGE,
                       "slab_chunk_max (bytes: %zu) cannot be larger than -I (item_size_max %zu)",
                       (size_t)t->slab_chunk_max, (size_t)t->item_size_max);
    }
    if (t->item_size_max > t->slab_chunk_max && t->item_size_max % t->slab_chunk_max != 0) {
        return err_set(
            d, ERR_RANGE,
            "-I (item_size_max: %zu) must be evenly divisible by slab_chunk_max (bytes: %zu)",
            (size_t)t->item_size_max, (size_t)t->slab_chunk_max);
    }
    if (SLAB_PAGE % t->slab_chunk_max != 0) {
        return err_set(d, ERR_RANGE,
                       "slab_chunk_max (bytes: %zu) must divide evenly into %u (slab_page_size)",
                       (size_t)t->slab_chunk_max, SLAB_PAGE);
    }
    return settings_slab_sizes(s, sizes, &count, d);
}

static const struct slice none;

static struct slice
number_print(int64_t n, char text[NUM_PRINT_MAX])
{
    return slice_of(text, num_print_i64(text, n));
}

static err_t
store_check(const struct settings *s, struct err_detail *d)
{
    const struct settings_store *t = &s->store;
    char text[NUM_PRINT_MAX];

    if (t->item_size_max > t->memory_limit / 2) {
        return complaint_set(d, ERR_RANGE, COMPLAINT_ITEM_OVER_HALF, none, none);
    }
    if (t->memory_max != 0 && t->memory_max < t->memory_limit) {
        return err_set(d, ERR_RANGE, "memory_max: less than memory_limit (-m)");
    }
    if (t->hashpower != 0 && t->hashpower < 12) {
        return complaint_set(d, ERR_RANGE, COMPLAINT_HASHPOWER_LOW,
                             number_print(t->hashpower, text), none);
    }
    if (t->tail_repair_time != 0 && t->tail_repair_time < 10 * USEC_PER_SEC) {
        return complaint_set(d, ERR_RANGE, COMPLAINT_TAIL_REPAIR_LOW, none, none);
    }
    if (t->hot_lru_pct + t->warm_lru_pct > 80) {
        return complaint_set(d, ERR_RANGE, COMPLAINT_LRU_SUM, none, none);
    }
    if (t->temp_lru && !t->lru_maintainer) {
        return complaint_set(d, ERR_INVALID, COMPLAINT_TEMPORARY_TTL, none, none);
    }
    return geometry_check(s, d);
}

static err_t
net_check(const struct settings *s, struct err_detail *d)
{
    char ids[NUM_PRINT_MAX], threads[NUM_PRINT_MAX];

    if (s->net.napi_ids > s->net.threads) {
        return complaint_set(d, ERR_RANGE, COMPLAINT_NAPI_IDS, number_print(s->net.napi_ids, ids),
                             number_print(s->net.threads, threads));
    }
    return ERR_OK;
}

static err_t
auth_check(const struct settings *s, struct err_detail *d)
{
    bool has_udp = s->net.udp_port != 0 && s->net.unix_socket[0] == '\0';

    if (s->auth.sasl && s->net.protocol != SETTINGS_PROTOCOL_BINARY && s->given[SETTING_protocol]) {
        return complaint_set(d, ERR_INVALID, COMPLAINT_SASL_TEXT, none, none);
    }
    if (s->auth.auth_file[0] != '\0' && s->net.protocol == SETTINGS_PROTOCOL_BINARY) {
        return complaint_set(d, ERR_INVALID, COMPLAINT_TOKENS_BINARY, none, none);
    }
    if (s->auth.auth_file[0] != '\0' && s->auth.sasl) {
        return err_set(d, ERR_INVALID, "auth_file (-Y): cannot be used with sasl (-S)");
    }
    if (has_udp && s->auth.sasl) {
        return complaint_set(d, ERR_INVALID, COMPLAINT_SASL_UDP, none, none);
    }
    if (has_udp && s->auth.auth_file[0] != '\0') {
        return complaint_set(d, ERR_INVALID, COMPLAINT_TOKENS_UDP, none, none);
    }
    return ERR_OK;
}

err_t
settings_check(const struct settings *s, struct err_detail *d)
{
    err_t e = store_check(s, d);

    if (!e) {
        e = net_check(s, d);
    }
    return e ? e : auth_check(s, d);
}
