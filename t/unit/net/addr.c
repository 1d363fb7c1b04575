/* What may stand behind -l. */
#include "net/addr.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <string.h>

/* Forms that unit files and scripts contain. */
Test(addr, every_form_is_understood)
{
    static const struct {
        const char     *in, *host;
        int             port;
        enum addr_tls   tls;
        enum addr_proto proto;
        const char     *tag;
    } row[] = {
        { "127.0.0.1", "127.0.0.1", -1, 0, 0, "" },
        { "127.0.0.1:11212", "127.0.0.1", 11212, 0, 0, "" },
        { "cache.example.com:0", "cache.example.com", 0, 0, 0, "" },
        { "[::1]", "::1", -1, 0, 0, "" },
        { "[::1]:65535", "::1", 65535, 0, 0, "" },
        { "::1", "::1", -1, 0, 0, "" },
        { "fe80::1%eth0", "fe80::1%eth0", -1, 0, 0, "" },
        { "*", "", -1, 0, 0, "" },
        { "*:11213", "", 11213, 0, 0, "" },
        { "", "", -1, 0, 0, "" },
        { " 10.0.0.1 ", "10.0.0.1", -1, 0, 0, "" },
        { "notls:127.0.0.1:1", "127.0.0.1", 1, ADDR_TLS_OFF, 0, "" },
        { "btls:*:1", "", 1, ADDR_TLS_ON, 0, "" },
        { "mtls:[::]:1", "::", 1, ADDR_TLS_MUTUAL, 0, "" },
        { "proto[ascii]:127.0.0.1", "127.0.0.1", -1, 0, ADDR_PROTO_TEXT, "" },
        { "proto[binary]:127.0.0.1:5", "127.0.0.1", 5, 0, ADDR_PROTO_BINARY, "" },
        { "proto[negotiating]:*", "", -1, 0, ADDR_PROTO_AUTO, "" },
        { "tag[a]:proto[binary]:notls:h:9", "h", 9, ADDR_TLS_OFF, ADDR_PROTO_BINARY, "a" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct addr_spec got;
        struct err_detail d = { "" };
        const char *rest = "?";

        cr_assert(eq(int, addr_parse(row[i].in, &got, &rest, &d), ERR_OK), "'%s': %s", row[i].in,
                  d.text);
        cr_expect(zero(int, strcmp(got.host, row[i].host)), "'%s'", row[i].in);
        cr_expect(eq(int, got.port, row[i].port), "'%s'", row[i].in);
        cr_expect(eq(int, got.tls, row[i].tls), "'%s'", row[i].in);
        cr_expect(eq(int, got.proto, row[i].proto), "'%s'", row[i].in);
        cr_expect(zero(int, strcmp(got.tag, row[i].tag)), "'%s'", row[i].in);
        cr_expect(rest == NULL, "'%s'", row[i].in);
    }
}

/* Nobody should find out by a silent default that his address was misread. */
Test(addr, nonsense_is_refused)
{
    static const struct {
        const char *in, *why;
    } row[] = {
        { "127.0.0.1:", "no port behind the colon" },
        { "127.0.0.1:x", "not a number" },
        { "127.0.0.1:65536", "past the last port" },
        { "127.0.0.1:99999999999999999999", "past every number" },
        { "127.0.0.1:-1", "a sign" },
        { "[::1", "no closing bracket" },
        { "[::1]x", "something behind the bracket" },
        { "proto[http]:*", "not a protocol of ours" },
        { "proto[proxy]:*", "memcached's proxy, which we are not" },
        { "proto[ascii", "no closing bracket" },
        { "proto[ascii]", "no colon behind it" },
        { "tag[]:*", "an empty tag" },
        { "tag[12345678901234567890123456789012345678901234567890123456789012345]:*", "65" },
    };
    char long_host[400];
    struct addr_spec got;
    const char *rest;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err_detail d = { "" };

        cr_expect(eq(int, addr_parse(row[i].in, &got, &rest, &d), ERR_INVALID), "'%s': %s",
                  row[i].in, row[i].why);
        cr_expect(ne(chr, d.text[0], '\0'), "'%s' without a message", row[i].in);
    }
    memset(long_host, 'h', sizeof long_host);
    long_host[sizeof long_host - 1] = '\0';
    cr_expect(eq(int, addr_parse(long_host, &got, &rest, NULL), ERR_INVALID));
}

/* Commas and semicolons both part a list. */
Test(addr, a_list_is_walked_entry_by_entry)
{
    static const char *const host[] = { "a", "b", "c", "::1" };
    const char *rest = "a,b:7;c,[::1]:8";
    size_t n = 0;

    for (; rest != NULL; n++) {
        struct addr_spec got;

        cr_assert(lt(sz, n, 4));
        cr_assert(eq(int, addr_parse(rest, &got, &rest, NULL), ERR_OK));
        cr_expect(zero(int, strcmp(got.host, host[n])), "%s", got.host);
    }
    cr_expect(eq(sz, n, 4));
}

/* Numeric addresses need no resolver, and the entry's port wins over the common one. */
Test(addr, numbers_resolve_to_themselves)
{
    struct addr_spec spec = { .host = "127.0.0.1", .port = ADDR_PORT_NONE };
    struct addrinfo *found = NULL;

    cr_assert(eq(int, addr_resolve(&spec, 11211, AF_UNSPEC, &found, NULL), ERR_OK));
    cr_expect(eq(int, found->ai_family, AF_INET));
    cr_expect(eq(int, addr_port(found->ai_addr), 11211));
    cr_expect(found->ai_next == NULL, "one address, one listener");
    freeaddrinfo(found);
    spec = (struct addr_spec){ .host = "::1", .port = 7 };
    cr_assert(eq(int, addr_resolve(&spec, 11211, AF_INET6, &found, NULL), ERR_OK));
    cr_expect(eq(int, addr_port(found->ai_addr), 7));
    freeaddrinfo(found);
    spec = (struct addr_spec){ .host = "not a name", .port = 7 };
    cr_expect(eq(int, addr_resolve(&spec, 11211, AF_UNSPEC, &found, NULL), ERR_UNKNOWN));
}
