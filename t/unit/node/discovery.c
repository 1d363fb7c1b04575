/*
 * ElastiCache's auto discovery: "config get cluster" and "get AmazonElastiCache:cluster".
 */
#include "cluster/view.h"
#include "drive.h"
#include "mesh.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER_GET "get AmazonElastiCache:cluster\r\n"
#define EPOCH       (INT64_C(1704067200) * USEC_PER_SEC) /* 2024 */

/* A lone node, or one of a cluster of four of which three are listed. */
struct fixture {
    struct drive_node n;
    struct drive      d;
    struct ring_ops  *ops;
    struct view      *view;
};

static struct view_node
member(node_id id, const char *host, enum member_state state, usec_t since)
{
    struct view_node v = { .info = { .id = id, .phase = PHASE_UP, .weight = 1,
                                     .client_port = (uint16_t)(11210 + id),
                                     .addr = { .ip = { [10] = 0xff, 0xff, 10, 0, 0, (uint8_t)id },
                                               .port = 7946 } },
                           .state = state, .since = since };

    snprintf(v.info.host, sizeof v.info.host, "%s", host);
    return v;
}

/* Only node 1, which is asked, owns keys. */
static void
fact(struct fixture *f, enum ring_op_kind kind, node_id id, usec_t stamp)
{
    struct ring_op op = { .kind = kind, .node = id, .stamp = stamp, .proposer = id,
                          .weight = id == 1,
                          .host = "cache", .client_port = 11211 };

    cr_assert(ring_ops_merge(f->ops, &op));
}

static void
fixture_view(struct fixture *f, const struct view_node *members, size_t count)
{
    f->view = view_new(1, 1, members, count, f->ops);
    cr_assert(f->view != NULL);
    atomic_store(&f->n.node->view, f->view);
    worker_turn(f->n.worker, f->n.now);
}

static void
fixture_init(struct fixture *f)
{
    *f = (struct fixture){ .ops = ring_ops_new() };
    drive_node_init(&f->n, (const char *const[]){ NULL });
    drive_init(&f->d, &f->n, SESSION_AUTO);
}

static void
fixture_cluster(struct fixture *f)
{
    struct view_node members[] = {
        member(2, "cache-b.example", MEMBER_SUSPECT, EPOCH),
        member(1, "cache-a.example", MEMBER_ALIVE, EPOCH + 30 * USEC_PER_SEC),
        member(3, "cache-c.example", MEMBER_DEAD, EPOCH),
        member(4, "10.0.0.4", MEMBER_ALIVE, EPOCH),
        member(5, "not-in-the-ring", MEMBER_ALIVE, EPOCH),
    };

    fixture_init(f);
    for (node_id id = 1; id <= 4; id++) {
        fact(f, RING_OP_MEMBER, id, EPOCH);
    }
    fact(f, RING_OP_MEMBER, 6, EPOCH + 5); /* nobody knows it */
    members[3].info.addr = (struct cluster_addr){ { 0x20, 0x01, 0x0d, 0xb8, [15] = 4 }, 7946 };
    fixture_view(f, members, 5);
}

static void
fixture_fini(struct fixture *f)
{
    drive_fini(&f->d);
    drive_node_fini(&f->n);
    view_free(f->view);
    ring_ops_free(f->ops);
}

static char *
say(struct fixture *f, const char *in)
{
    f->d.got.len = 0;
    drive_say(&f->d, in, strlen(in), DRIVE_ALL);
    cr_assert(buf_add(&f->d.got, "", 1));
    f->d.got.len--;
    return f->d.got.ptr;
}

#define LIST                                                                   \
    "30\ncache-a.example|10.0.0.1|11211 cache-b.example|10.0.0.2|11212 "       \
    "10.0.0.4|2001:db8:0:0:0:0:0:4|11214\n"

/* The bytes that pymemcache, xmemcached, dalli-elasticache and the forks of AWS take apart. */
Test(discovery, lists_the_nodes)
{
    struct fixture f;
    char           want[512];

    fixture_cluster(&f);
    snprintf(want, sizeof want, "CONFIG cluster 0 %zu\r\n" LIST "\r\nEND\r\n", sizeof LIST - 1);
    cr_expect(eq(str, say(&f, "config get cluster\r\n"), want));
    cr_expect(eq(str, say(&f, "config get cluster\n"), want), "some send no \\r");
    cr_expect(eq(str, say(&f, "config  get  cluster \r\n"), want));
    snprintf(want, sizeof want, "VALUE AmazonElastiCache:cluster 0 %zu\r\n" LIST "\r\nEND\r\n",
             sizeof LIST - 1);
    cr_expect(eq(str, say(&f, CLUSTER_GET), want));
    snprintf(want, sizeof want,
             "VALUE AmazonElastiCache:cluster 0 %zu\r\n" LIST "\r\n"
             "VALUE AmazonElastiCache:cluster 0 %zu\r\n" LIST "\r\nEND\r\n",
             sizeof LIST - 1, sizeof LIST - 1);
    cr_expect(eq(str, say(&f, "get a AmazonElastiCache:cluster b AmazonElastiCache:cluster c\r\n"),
                 want));
    fixture_fini(&f);
}

Test(discovery, other_words)
{
    static const char *const row[] = {
        "config\r\n", "config get\r\n", "config get cluster now\r\n", "config get other\r\n",
        "config set cluster 0 2\r\n", "config GET cluster\r\n",
    };
    struct fixture f;

    fixture_cluster(&f);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_expect(eq(str, say(&f, row[i]), "ERROR\r\n"), "%s", row[i]);
    }
    cr_expect(eq(str, say(&f, "get AmazonElastiCache:Cluster\r\n"), "END\r\n"));
    cr_expect(eq(str, say(&f, "version\r\n"), "VERSION 1.6.45\r\n"), "nothing was swallowed");
    fixture_fini(&f);
}

/* As memcached: there is no such command, and the key is one like any other. */
Test(discovery, alone)
{
    struct fixture f;

    fixture_init(&f);
    cr_expect(eq(str, say(&f, "config get cluster\r\n"), "ERROR\r\n"));
    cr_expect(eq(str, say(&f, "config\r\n"), "ERROR\r\n"));
    cr_expect(eq(str, say(&f, CLUSTER_GET), "END\r\n"));
    cr_expect(eq(i64, drive_metric(&f.n, M_GET_MISSES), 1));
    cr_expect(eq(str, say(&f, "set AmazonElastiCache:cluster 7 0 2\r\nhi\r\n"), "STORED\r\n"));
    cr_expect(eq(str, say(&f, CLUSTER_GET),
                 "VALUE AmazonElastiCache:cluster 7 2\r\nhi\r\nEND\r\n"));
    fixture_fini(&f);
}

/* Whoever stores something under that key gets it back, in a cluster too, as from ElastiCache. */
Test(discovery, a_stored_value_stays)
{
    struct fixture f;

    fixture_cluster(&f);
    say(&f, "set AmazonElastiCache:cluster 7 0 2\r\nhi\r\n");
    cr_expect(eq(str, say(&f, CLUSTER_GET),
                 "VALUE AmazonElastiCache:cluster 7 2\r\nhi\r\nEND\r\n"));
    fixture_fini(&f);
}

/* Clients that go by address need one. */
Test(discovery, name_for_an_unknown_address)
{
    struct view_node m = member(1, "a.example", MEMBER_ALIVE, EPOCH);
    struct fixture   f;

    fixture_init(&f);
    fact(&f, RING_OP_MEMBER, 1, EPOCH);
    memset(&m.info.addr, 0, sizeof m.info.addr);
    fixture_view(&f, &m, 1);
    cr_expect(eq(str, say(&f, "config get cluster\r\n"),
                 "CONFIG cluster 0 28\r\n0\na.example|a.example|11211\n\r\nEND\r\n"));
    fixture_fini(&f);
}

/* A node that calls itself something else does not make the list unreadable. */
Test(discovery, odd_names_are_left_out)
{
    static const char *const name[] = { "a", "b c", "d\r\nEND", "e|f", "", "\xc3\xa4", "g" };
    struct view_node members[7];
    struct fixture   f;

    fixture_init(&f);
    for (size_t i = 0; i < 7; i++) {
        members[i] = member(i + 1, name[i], MEMBER_ALIVE, EPOCH);
        fact(&f, RING_OP_MEMBER, i + 1, EPOCH);
    }
    fixture_view(&f, members, 7);
    cr_expect(eq(str, say(&f, "config get cluster\r\n"),
                 "CONFIG cluster 0 36\r\n0\na|10.0.0.1|11211 g|10.0.0.7|11217\n\r\nEND\r\n"));
    fixture_fini(&f);
}

/* Clients take a list only if its number is greater: it rises with members and with the ring. */
Test(discovery, version_rises)
{
    struct view_node m = member(1, "a", MEMBER_ALIVE, EPOCH + 7 * USEC_PER_SEC);
    struct fixture   f;
    struct view     *before;

    fixture_init(&f);
    fact(&f, RING_OP_MEMBER, 1, EPOCH + 3 * USEC_PER_SEC);
    fixture_view(&f, &m, 1);
    cr_expect(eq(str, say(&f, "config get cluster\r\n"),
                 "CONFIG cluster 0 19\r\n7\na|10.0.0.1|11211\n\r\nEND\r\n"));
    before = f.view;
    fact(&f, RING_OP_REMOVED, 1, EPOCH + 9 * USEC_PER_SEC);
    fixture_view(&f, &m, 1);
    cr_expect(eq(str, say(&f, "config get cluster\r\n"), "CONFIG cluster 0 3\r\n9\n\n\r\nEND\r\n"));
    view_free(before);
    fixture_fini(&f);
}

/* The key is one that has an owner: through each of three nodes comes one answer, the owner's. */
Test(discovery, through_any_node)
{
    static struct mesh m;
    char first[512] = "";

    mesh_init(&m, 3, NULL);
    for (unsigned i = 0; i < 3; i++) {
        struct drive d;
        char        *value;
        size_t       len;

        mesh_client(&m, i, &d);
        mesh_say(&m, &d, CLUSTER_GET, strlen(CLUSTER_GET), DRIVE_ALL);
        cr_assert(buf_add(&d.got, "", 1));
        cr_assert(eq(int, sscanf(d.got.ptr, "VALUE AmazonElastiCache:cluster 0 %zu\r\n", &len), 1),
                  "%s", d.got.ptr);
        value = strchr(d.got.ptr, '\n') + 1;
        cr_expect(eq(str, value + len, "\r\nEND\r\n"));
        if (i == 0) {
            snprintf(first, sizeof first, "%s", d.got.ptr);
        }
        cr_expect(eq(str, d.got.ptr, first));
        drive_fini(&d);
    }
    mesh_fini(&m);
}

/* A list that fits into no buffer of the worker; as a value it would fit into no frame either. */
Test(discovery, thousands_of_nodes)
{
    enum { N = 6000 };
    struct view_node *members = calloc(N, sizeof *members);
    struct fixture    f;
    char             *got;
    size_t            len, nodes = 1;

    fixture_init(&f);
    for (size_t i = 0; i < N; i++) {
        members[i] = member(i + 1, "a-name-of-some-length.cache.example.org", MEMBER_ALIVE, EPOCH);
        fact(&f, RING_OP_MEMBER, i + 1, EPOCH);
    }
    fixture_view(&f, members, N);
    got = say(&f, "config get cluster\r\n");
    cr_assert(eq(int, sscanf(got, "CONFIG cluster 0 %zu\r\n", &len), 1));
    got = strchr(got, '\n') + 1;
    cr_expect(eq(str, got + len, "\r\nEND\r\n"));
    for (size_t i = 0; i < len; i++) {
        nodes += got[i] == ' ';
    }
    cr_expect(eq(sz, nodes, N));
    cr_expect(eq(str, say(&f, CLUSTER_GET), "END\r\n"));
    free(members);
    fixture_fini(&f);
}
