#include "config.h"

#include "daemon/options.h"
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OPTIONS_FILE      "/etc/magpie/magpie.conf"
#define OPTIONS_FILE_MAX  (1u << 20) /* bytes */
#define OPTIONS_LONG_BASE 1000       /* getopt's value for the first row of setting_table */
#define OPTIONS_LONG_MAX  (2 * SETTINGS + 64)

extern char **environ;

/* memcached's letters, and its long options and ours, as getopt wants them. */
struct table {
    char          letters[256];
    struct option row[OPTIONS_LONG_MAX];
    char          name[SETTINGS][64]; /* of our own long options, with dashes */
};

static void
letters_add(struct table *t, char letter, bool takes_value)
{
    size_t len = strlen(t->letters);

    assert(len + 3 < sizeof t->letters);
    if (strchr(t->letters, letter) == NULL) {
        t->letters[len++] = letter;
        if (takes_value) {
            t->letters[len++] = ':';
        }
        t->letters[len] = '\0';
    }
}

static bool
table_has(const struct table *t, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(t->row[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Names of settings are long options too, written with "_" or with "-"; memcached's come first. */
static size_t
table_add_setting(struct table *t, size_t count, size_t index)
{
    const struct setting *setting = &setting_table[index];
    const char *spelling[2] = { setting->name, t->name[index] };
    int has_arg = setting->type == SETTING_TYPE_BOOL ? optional_argument : required_argument;

    snprintf(t->name[index], sizeof t->name[index], "%s", setting->name);
    for (char *c = t->name[index]; *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    for (size_t i = 0; i < 2; i++) {
        if (!table_has(t, count, spelling[i])) {
            assert(count + 1 < OPTIONS_LONG_MAX);
            t->row[count++] = (struct option){ .name = spelling[i],
                                               .has_arg = has_arg,
                                               .val = OPTIONS_LONG_BASE + (int)index };
        }
    }
    return count;
}

static void
table_init(struct table *t)
{
    size_t count = 0;

    memset(t, 0, sizeof *t);
    for (size_t i = 0; settings_long_options[i].name != NULL; i++) {
        const struct settings_long *o = &settings_long_options[i];

        letters_add(t, o->letter, o->takes_value);
        t->row[count++] = (struct option){ .name = o->name,
                                           .has_arg = o->takes_value ? required_argument
                                                                     : no_argument,
                                           .val = o->letter };
    }
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *setting = &setting_table[i];

        if (setting->letter != 0) {
            letters_add(t, setting->letter, setting->alone == NULL);
        }
        count = table_add_setting(t, count, i);
    }
}

/* -- answers to questions ------------------------------------------------------------------ */

/* What would be refused is not offered; scripts look here for what they may ask. */
static bool
setting_is_built_in(const struct setting *row)
{
    enum setting_id id = settings_id(row);

    return id != SETTING_sasl && id != SETTING_auth_file && id != SETTING_memory_file;
}

static enum options_verdict
options_help(void)
{
    struct buf out = { 0 };

    if (settings_print_help(&out, setting_is_built_in)) {
        printf("magpied " MAGPIE_VERSION "\nusage: magpied [OPTION]...\n%.*s", (int)out.len,
               out.ptr);
    }
    buf_free(&out);
    return OPTIONS_DONE;
}

static enum options_verdict
options_version(void)
{
    printf("magpied " MAGPIE_VERSION " (speaks as memcached " MEMCACHED_VERSION ")\n");
    return OPTIONS_DONE;
}

static enum options_verdict
options_licence(void)
{
    printf("magpied " MAGPIE_VERSION "\n\n"
           "Magpie is free software under the MIT licence; see the file COPYING that came\n"
           "with it.  There is no warranty.\n\n"
           "It uses %s, (c) Marc Alexander Lehmann and Emanuele Giaquinta, under a BSD\n"
           "licence, and xxHash, (c) Yann Collet, under a BSD licence.\n",
           loop_library());
    return OPTIONS_DONE;
}

/* -- sources ------------------------------------------------------------------------------- */

static enum options_verdict
options_complain(const struct err_detail *d)
{
    fprintf(stderr, "magpied: %s\n", d->text);
    return OPTIONS_BAD;
}

static err_t
file_read(int fd, struct buf *out)
{
    for (;;) {
        ssize_t n;

        if (out->len > OPTIONS_FILE_MAX) {
            return ERR_RANGE;
        }
        if (!buf_reserve(out, 4096)) {
            return ERR_NOMEM;
        }
        n = read(fd, out->ptr + out->len, 4096);
        if (n == 0) {
            return ERR_OK;
        }
        if (n < 0 && errno != EINTR) {
            return ERR_IO;
        }
        out->len += n > 0 ? (size_t)n : 0;
    }
}

/* A file that was asked for must be there; the one at the usual place need not. */
static err_t
options_file(struct settings *s, const char *path, struct err_detail *d)
{
    const char *name = path != NULL ? path : OPTIONS_FILE;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    struct buf text = { 0 };
    err_t e;

    if (fd < 0) {
        if (path == NULL && (errno == ENOENT || errno == ENOTDIR)) {
            return ERR_OK;
        }
        return err_set(d, ERR_IO, "%s: %s", name, strerror(errno));
    }
    e = file_read(fd, &text);
    if (e == ERR_IO) {
        err_set(d, e, "%s: %s", name, strerror(errno));
    } else if (e) {
        err_set(d, e, "%s: %s", name, err_text(e));
    } else {
        e = settings_parse_text(s, name, slice_of(text.ptr, text.len), d);
    }
    (void)close(fd);
    buf_free(&text);
    return e;
}

/* One option of argv; c is what getopt_long() returned. */
static err_t
option_set(struct settings *s, int c, const char *arg, struct err_detail *d)
{
    if (c == 'o') {
        return settings_set_words(s, arg, d);
    }
    if (c == 'Z') {
        return err_set(d, ERR_DENIED, "option -Z (--enable-ssl): TLS is not built in");
    }
    if (c >= OPTIONS_LONG_BASE) {
        return settings_set(s, setting_table[c - OPTIONS_LONG_BASE].name,
                            arg != NULL ? arg : "yes", d);
    }
    return settings_set_letter(s, (char)c, arg, d);
}

/* Says which option the complaint is about, where the message names only the setting. */
static enum options_verdict
option_complain(int c, const struct table *t, const struct err_detail *d)
{
    char shown[80];

    if (c >= OPTIONS_LONG_BASE) {
        snprintf(shown, sizeof shown, "option --%s: ", t->name[c - OPTIONS_LONG_BASE]);
    } else {
        snprintf(shown, sizeof shown, "option -%c: ", c);
    }
    fprintf(stderr, "magpied: %s%s\n", strncmp(d->text, "option ", 7) == 0 ? "" : shown, d->text);
    return OPTIONS_BAD;
}

/* All of argv, in order. */
static enum options_verdict
options_argv(struct settings *s, const struct table *t, int argc, char **argv)
{
    struct err_detail d = { "" };
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, t->letters, t->row, NULL)) != -1) {
        switch (c) {
        case '?':
            /* getopt_long() has named the option; the rest is memcached's, and is no help. */
            fprintf(stderr, "Illegal argument \"?\"\nmagpied --help says more.\n");
            return OPTIONS_BAD;
        case 'h':
            return options_help();
        case 'i':
            return options_licence();
        case 'V':
            return options_version();
        default:
            if (option_set(s, c, optarg, &d)) {
                return option_complain(c, t, &d);
            }
        }
    }
    return OPTIONS_RUN;
}

/* -- what must not start ------------------------------------------------------------------- */

/* Never run without a protection or a service that was asked for. */
static err_t
options_refuse(const struct settings *s, struct err_detail *d)
{
    if (s->auth.sasl) {
        return err_set(d, ERR_DENIED, "option -S (--enable-sasl): SASL is not built in");
    }
    if (s->auth.auth_file[0] != '\0') {
        return err_set(d, ERR_DENIED,
                       "option -Y (--auth-file): authentication is not built in");
    }
    if (s->ext.memory_file[0] != '\0') {
        return err_set(d, ERR_DENIED,
                       "option -e (--memory-file): memory that survives a restart is not built in");
    }
    if (s->net.port == 0 && s->net.udp_port == 0 && s->net.unix_socket[0] == '\0') {
        return err_set(d, ERR_INVALID, "nothing to listen on: -p 0 turns TCP off, there is no -U, "
                                       "and -s names no Unix socket");
    }
    return ERR_OK;
}

enum options_verdict
options_read(struct settings *ret, int argc, char **argv)
{
    static struct table table;
    static struct settings trial; /* too large for the stack of a careful program */
    struct err_detail d = { "" };
    const char *path = NULL;
    enum options_verdict verdict;

    table_init(&table);
    settings_defaults(&trial);
    /* The arguments are read twice: first alone, because they may name the file they win over. */
    verdict = options_argv(&trial, &table, argc, argv);
    if (verdict != OPTIONS_RUN) {
        return verdict;
    }
    settings_defaults(ret);
    if (trial.process.config[0] != '\0') {
        path = trial.process.config;
    } else {
        const char *named = getenv("MAGPIE_CONFIG");

        path = named != NULL && named[0] != '\0' ? named : NULL;
    }
    if (options_file(ret, path, &d) || settings_env(ret, environ, &d)) {
        return options_complain(&d);
    }
    verdict = options_argv(ret, &table, argc, argv);
    if (verdict != OPTIONS_RUN) {
        return verdict;
    }
    if (optind < argc) {
        /* memcached takes no notice of them; they are a mistake all the same. */
        fprintf(stderr, "magpied: warning: argument '%s' is no option, ignored\n", argv[optind]);
    }
    if (settings_check(ret, &d) || options_refuse(ret, &d)) {
        return options_complain(&d);
    }
    return OPTIONS_RUN;
}
