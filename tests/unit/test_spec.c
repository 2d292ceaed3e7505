/* The Gateway spec: ours, Argo's, and everything that can be wrong with one. */
#include "gateway-client/spec/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD    "apiVersion: argoproj.io/v1alpha1\nkind: Gateway\nmetadata: {name: shop}\nspec:\n"
#define SERVERS "  servers: [{type: calendar, address: \"127.0.0.1:9330\"}]\n"

static struct gwc_spec *read_good(const char *text)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gwc_spec *spec = NULL;
    struct gw_reason reason = {""};

    if (gwc_spec_read(gw_view_text(text), &spec, &problems) != 0) {
        gw_problems_reason(&problems, &reason);
        fail_msg("%s", reason.text);
    }
    assert_int_equal(problems.count, 0);
    return spec;
}

static void assert_bad(const char *text, const char *path, int line, const char *words)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {.file = "gateway.yaml"};
    struct gwc_spec *spec = NULL;
    struct gw_reason reason = {""};

    assert_int_equal(gwc_spec_read(gw_view_text(text), &spec, &problems), GWC_SPEC_BAD);
    assert_null(spec);
    gw_problems_reason(&problems, &reason);
    if (problems.count != 1 || strstr(problems.items[0].message, words) == NULL)
        fail_msg("expected just \"%s\", got %zu: %s", words, problems.count, reason.text);
    assert_string_equal(problems.items[0].path, path);
    assert_string_equal(problems.items[0].file, "gateway.yaml");
    if (problems.items[0].line != line)
        fail_msg("line %d, not %d: %s", problems.items[0].line, line, reason.text);
}

static void our_spec_is_read_with_its_defaults(void **state)
{
    GW_AUTO(gwc_spec_freep)
    struct gwc_spec *spec = read_good(
        HEAD "  servers:\n    - {type: calendar, address: \"unix:/run/gateway/calendar.sock\"}\n"
             "    - {type: webhook, address: \"127.0.0.1:9330\", contract: argo-0.11, keepalive: 30s}\n"
             "  watchers:\n    http:\n      - {name: orders, url: \"http://127.0.0.1:9300/\", mode: "
             "structured}\n");
    const struct gwc_watcher_spec *watcher = &spec->watchers[0];

    (void)state;
    assert_string_equal(spec->name, "shop");
    assert_string_equal(spec->namespace_, "default");
    assert_int_equal(spec->servers_count, 2);
    assert_string_equal(spec->servers[0].address, "unix:/run/gateway/calendar.sock");
    assert_int_equal(spec->servers[0].contract, GWC_CONTRACT_AUTO);
    assert_int_equal(spec->servers[0].keepalive_ns, 0);
    assert_false(spec->servers[0].tls.enabled);
    assert_int_equal(spec->servers[1].contract, GWC_CONTRACT_ARGO_011);
    assert_int_equal(spec->servers[1].keepalive_ns, INT64_C(30000000000));
    assert_int_equal(spec->watchers_count, 1);
    assert_string_equal(watcher->name, "orders");
    assert_int_equal(watcher->mode, GW_EVENT_STRUCTURED);
    assert_int_equal(watcher->concurrency, 32);
    assert_int_equal(watcher->batch_max, 100);
    assert_int_equal(watcher->timeout_ns, INT64_C(30000000000));
    assert_int_equal(watcher->retry.initial_ns, 500000000);
    assert_true(watcher->retry.factor == 2);
    assert_int_equal(watcher->retry.max_ns, INT64_C(60000000000));
    assert_int_equal(watcher->retry.deadline_ns, INT64_C(86400000000000));
    assert_int_equal(watcher->retry.attempts_max, 0);
    assert_true(watcher->dead_letter);
    assert_false(watcher->insecure_skip_verify);
    assert_null(watcher->bearer.name);
    assert_int_equal(spec->outbox.size_max, 1 << 30);
    assert_int_equal(spec->outbox.retention_ns, INT64_C(3600000000000));
    assert_true(spec->outbox.fsync);
    assert_non_null(gwc_spec_server(spec, "webhook"));
    assert_null(gwc_spec_server(spec, "kafka"));
}

static void every_option_is_taken(void **state)
{
    GW_AUTO(gwc_spec_freep)
    struct gwc_spec *spec = read_good(
        "apiVersion: argoproj.io/v1alpha1\nkind: Gateway\nmetadata: {name: shop, namespace: argo-events, "
        "labels: {a: b}}\nspec:\n"
        "  servers: [{type: calendar, address: \"localhost:9330\", tls: {caFile: /ca, certificateFile: /c, "
        "keyFile: /k, serverName: s}}]\n"
        "  watchers:\n    http:\n    - name: a\n      url: https://user.example:8443/in?x=1\n      mode: "
        "batch\n      concurrency: 4\n"
        "      batchMax: 10\n      timeout: 5s\n      retry: {initial: 1s, factor: 1.5, max: 2m, deadline: "
        "0, attempts: 3}\n"
        "      deadLetter: false\n      headers: {X-Tenant: blue}\n      basic: {username: {name: n1, key: "
        "u}, password: {name: n1, key: p}}\n"
        "      caFile: /ca\n      certificateFile: /c\n      keyFile: /k\n      serverName: other\n      "
        "insecureSkipVerify: true\n"
        "    - {name: b, url: \"http://[::1]:80\", mode: legacy-0.3, bearer: {name: t, key: token}}\n"
        "  outbox: {sizeMax: 64Mi, retention: 10m, fsync: false}\n");
    const struct gwc_watcher_spec *watcher = &spec->watchers[0];

    (void)state;
    assert_string_equal(spec->namespace_, "argo-events");
    assert_true(spec->servers[0].tls.enabled);
    assert_string_equal(spec->servers[0].tls.server_name, "s");
    assert_int_equal(watcher->mode, GW_EVENT_BATCH);
    assert_int_equal(watcher->retry.attempts_max, 3);
    assert_int_equal(watcher->retry.deadline_ns, 0);
    assert_string_equal(watcher->headers.items[0].value, "blue");
    assert_string_equal(watcher->username.key, "u");
    assert_string_equal(watcher->password.key, "p");
    assert_true(watcher->insecure_skip_verify);
    assert_false(watcher->dead_letter);
    assert_int_equal(spec->watchers[1].mode, GW_EVENT_LEGACY_03);
    assert_string_equal(spec->watchers[1].bearer.key, "token");
    assert_int_equal(spec->outbox.size_max, 64 << 20);
    assert_false(spec->outbox.fsync);
}

static void a_gateway_of_argo_0_11_is_understood(void **state)
{
    GW_AUTO(gwc_spec_freep)
    struct gwc_spec *spec = read_good(
        "apiVersion: argoproj.io/v1alpha1\nkind: Gateway\nmetadata:\n  name: shop-gw\n  namespace: "
        "argo-events\n"
        "  labels: {argo-events-gateway-version: v0.10}\nspec:\n  type: webhook\n  eventSource: shop-events\n"
        "  processorPort: \"9330\"\n  eventProtocol:\n    type: HTTP\n    http: {port: \"9300\"}\n"
        "  template:\n    metadata: {name: shop-gw}\n    spec: {serviceAccountName: argo-events-sa}\n"
        "  service:\n    metadata: {name: shop-gw-svc}\n"
        "  watchers:\n    sensors:\n      - {name: order-sensor}\n      - {name: audit-sensor, namespace: "
        "compliance}\n"
        "    gateways:\n      - {name: next, port: \"12000\", endpoint: /in}\n      - {name: next, port: "
        "12000, endpoint: other}\n");

    (void)state;
    assert_int_equal(spec->servers_count, 1);
    assert_string_equal(spec->servers[0].type, "webhook");
    assert_string_equal(spec->servers[0].address, "127.0.0.1:9330");
    assert_int_equal(spec->servers[0].contract, GWC_CONTRACT_AUTO);
    assert_int_equal(spec->watchers_count, 4);
    assert_string_equal(spec->watchers[0].name, "sensor.argo-events.order-sensor");
    assert_string_equal(spec->watchers[0].url, "http://order-sensor-svc.argo-events.svc.cluster.local:9300/");
    assert_int_equal(spec->watchers[0].mode, GW_EVENT_LEGACY);
    assert_int_equal(spec->watchers[0].concurrency, 32);
    assert_string_equal(spec->watchers[1].url, "http://audit-sensor-svc.compliance.svc.cluster.local:9300/");
    assert_string_equal(spec->watchers[2].url, "http://next-svc.argo-events.svc.cluster.local:12000/in");
    assert_string_equal(spec->watchers[3].url, "http://next-svc.argo-events.svc.cluster.local:12000/other");
    assert_string_equal(spec->watchers[3].name, "gateway.argo-events.next:12000/other");
    assert_true(spec->watchers[3].dead_letter);
}

static void a_gateway_of_argo_0_16_is_understood(void **state)
{
    GW_AUTO(gwc_spec_freep)
    struct gwc_spec *spec =
        read_good(HEAD "  type: webhook\n  replica: 1\n  eventSourceRef: {name: shop-events}\n  template: "
                       "{serviceAccountName: sa}\n"
                       "  service: {ports: [{port: 12012, targetPort: 12012}]}\n"
                       "  subscribers:\n    http: [\"http://order-sensor.argo-events.svc:9300/\"]\n    nats: "
                       "[]\nstatus: {phase: Running}\n");

    (void)state;
    assert_string_equal(spec->servers[0].address, "127.0.0.1:9300");
    assert_int_equal(spec->watchers_count, 1);
    assert_string_equal(spec->watchers[0].url, "http://order-sensor.argo-events.svc:9300/");
    assert_string_equal(spec->watchers[0].name, "http://order-sensor.argo-events.svc:9300/");
    assert_int_equal(spec->watchers[0].mode, GW_EVENT_LEGACY_03_JSON);
}

#define OBJECT                                                                                               \
    "{\"apiVersion\":\"argoproj.io/v1alpha1\",\"kind\":\"Gateway\",\"metadata\":{\"name\":\"shop\","         \
    "\"namespace\":\"argo-events\",\"uid\":\"6b7d\",\"resourceVersion\":\"7\",\"generation\":2,"             \
    "\"managedFields\":"                                                                                     \
    "[{\"manager\":\"kubectl\",\"fieldsV1\":{\"f:spec\":{}}}]},\"status\":{\"phase\":\"Running\"},\"spec\":"

static void a_gateway_of_the_api_server_is_the_same_as_that_of_a_file(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {.file = "gateway argo-events/shop"};
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = NULL;
    static const char good[] =
        OBJECT "{\"type\":\"webhook\",\"processorPort\":\"9330\",\"eventSource\":\"events\","
               "\"subscribers\":{\"http\":[\"http://a/\"]}}}";
    static const char bad[] = OBJECT "{\"type\":\"webhook\",\"subscriber\":{}}}";

    (void)state;
    assert_int_equal(gwc_spec_read_object(gw_view_text(good), &spec, &problems), 0);
    assert_string_equal(spec->name, "shop");
    assert_string_equal(spec->namespace_, "argo-events");
    assert_string_equal(spec->servers[0].address, "127.0.0.1:9330");
    assert_string_equal(spec->watchers[0].url, "http://a/");
    spec = gwc_spec_free(spec);
    assert_int_equal(gwc_spec_read_object(gw_view_text(bad), &spec, &problems), GWC_SPEC_BAD);
    assert_null(spec);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.items[0].path, "spec.subscriber");
    assert_string_equal(problems.items[0].file, "gateway argo-events/shop");
    assert_int_equal(problems.items[0].line, 0); /* of one line of JSON there is nothing to say */
    gw_problems_done(&problems);
    assert_int_equal(gwc_spec_read_object(gw_view_text("[]"), &spec, &problems), GWC_SPEC_BAD);
    assert_int_equal(gwc_spec_read_object(gw_view_text("{"), &spec, &problems), GWC_SPEC_BAD);
}

static void assert_config_map(const char *text, const char *namespace_, const char *name)
{
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = read_good(text);

    assert_string_equal(spec->event_source.name, name);
    if (namespace_ == NULL)
        assert_null(spec->event_source.namespace_);
    else
        assert_string_equal(spec->event_source.namespace_, namespace_);
}

#define HEAD_IN_NAMESPACE                                                                                    \
    "apiVersion: argoproj.io/v1alpha1\nkind: Gateway\nmetadata: {name: shop, namespace: "                    \
    "argo-events}\nspec:\n"

static void argo_names_the_config_map_in_the_spec(void **state)
{
    (void)state;
    assert_config_map(HEAD SERVERS "  eventSource: events\n", NULL, "events");
    assert_config_map(HEAD_IN_NAMESPACE SERVERS "  eventSource: events\n", "argo-events", "events");
    assert_config_map(HEAD_IN_NAMESPACE SERVERS "  eventSource: other/events\n", "other", "events");
    assert_config_map(HEAD SERVERS "  configMap: other/events\n", "other", "events");
    assert_config_map(HEAD SERVERS "  eventSourceRef: {name: events}\n", NULL, "events");
    assert_config_map(HEAD_IN_NAMESPACE SERVERS "  eventSourceRef: {name: events}\n", "argo-events",
                      "events");
    assert_config_map(HEAD_IN_NAMESPACE SERVERS "  eventSourceRef: {name: events, namespace: other}\n",
                      "other", "events");
    GW_AUTO(gwc_spec_freep) struct gwc_spec *none = read_good(HEAD SERVERS);
    assert_null(none->event_source.name);
    assert_bad(HEAD SERVERS "  eventSource: Shop_Events\n", "spec.eventSource", 6,
               "not the name of a ConfigMap");
    assert_bad(HEAD SERVERS "  configMap: a/b/c\n", "spec.configMap", 6, "not the name of a ConfigMap");
    assert_bad(HEAD SERVERS "  eventSource: /events\n", "spec.eventSource", 6, "\"\" is not a namespace");
    assert_bad(HEAD SERVERS "  eventSourceRef: {name: events, namespace: a.b}\n", "spec.eventSourceRef", 6,
               "\"a.b\" is not a namespace");
    assert_bad(HEAD SERVERS "  eventSourceRef: {namespace: other}\n", "spec.eventSourceRef.name", 6,
               "missing");
    assert_bad(HEAD SERVERS "  eventSource: a\n  eventSourceRef: {name: a}\n", "spec.eventSource", 6,
               "given too");
}

static void the_environment_says_what_the_manifest_does_not(void **state)
{
    (void)state;
    gwc_spec_set_defaults("argo-events", "9331");
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = read_good(HEAD "  type: webhook\n");
    gwc_spec_set_defaults(NULL, "many");
    GW_AUTO(gwc_spec_freep) struct gwc_spec *plain = read_good(HEAD "  type: webhook\n");
    gwc_spec_set_defaults(NULL, NULL);

    assert_string_equal(spec->namespace_, "argo-events");
    assert_string_equal(spec->servers[0].address, "127.0.0.1:9331");
    assert_string_equal(plain->namespace_, "default");
    assert_string_equal(plain->servers[0].address, "127.0.0.1:9300");
}

static void no_watchers_is_fine(void **state)
{
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = read_good(HEAD SERVERS);

    (void)state;
    assert_int_equal(spec->watchers_count, 0);
}

static void a_bad_manifest_is_refused_in_words(void **state)
{
    (void)state;
    assert_bad("a: [\n", "", 2, "not YAML");
    assert_bad("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nspec: {}\n", "kind", 2,
               "expected Gateway, got ConfigMap");
    assert_bad("just text\n", "", 1, "expected a mapping of settings, got text");
    assert_bad("apiVersion: argoproj.io/v1alpha1\nkind: Gateway\nmetadata: {}\nspec:\n" SERVERS,
               "metadata.name", 3, "missing");
    assert_bad("apiVersion: argoproj.io/v1alpha1\nkind: Gateway\nmetadata: {name: My Shop}\nspec:\n" SERVERS,
               "metadata.name", 3, "is not a name");
    assert_bad("apiVersion: v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n" SERVERS, "apiVersion", 1,
               "argoproj.io/v1alpha1");
    assert_bad("apiVersion: argoproj.io/v1alpha1\nkind: Gateway\nmetadata: {name: a}\n", "spec", 1,
               "missing");
    assert_bad(HEAD SERVERS "  wachers: {}\n", "spec.wachers", 6, "did you mean \"watchers\"?");
    assert_bad(HEAD SERVERS "  watchers:\n    nats: []\n", "spec.watchers.nats", 7, "unknown field");
    assert_bad(HEAD SERVERS "  outbox: {sizeMax: 1k}\n", "spec.outbox.sizeMax", 6, "out of range");
}

static void bad_servers_are_refused_in_words(void **state)
{
    (void)state;
    assert_bad(HEAD "  watchers: {}\n", "spec.servers", 5, "at least one gateway-server");
    assert_bad(HEAD "  servers:\n  - {type: a, address: \"x:1\"}\n  - {type: a, address: \"x:2\"}\n",
               "spec.servers[1].type", 7, "another server has the type \"a\"");
    assert_bad(HEAD "  servers:\n  - {type: a.b, address: \"x:1\"}\n", "spec.servers[0].type", 6,
               "is not a type");
    assert_bad(HEAD "  servers:\n  - type: a\n    address: nowhere\n", "spec.servers[0].address", 7,
               "nowhere");
    assert_bad(HEAD "  servers:\n  - {type: a, address: \"x:1\", contract: v2}\n", "spec.servers[0].contract",
               6, "unknown value");
    assert_bad(HEAD "  servers:\n  - {type: a, address: \"x:1\", tls: {keyFile: /k}}\n",
               "spec.servers[0].tls", 6, "belong together");
    assert_bad(HEAD "  servers:\n  - {type: a}\n", "spec.servers[0].address", 6, "missing");
    assert_bad(HEAD "  type: webhook\n  processorPort: 99999\n", "spec.processorPort", 6, "is not a port");
    assert_bad(HEAD SERVERS "  processorPort: 9330\n", "spec.type", 6, "missing");
    assert_bad(HEAD SERVERS "  type: webhook\n", "spec.type", 6, "no server has the type \"webhook\"");
    assert_bad(HEAD SERVERS "  type: calendar\n  processorPort: 9330\n", "spec.type", 6,
               "servers has the type \"calendar\" too");
}

static void bad_watchers_are_refused_in_words(void **state)
{
#define WATCHER(fields) HEAD SERVERS "  watchers:\n    http:\n    - {name: a, " fields "}\n"
    static const char *const urls[][2] = {
        {"ftp://x/", "http:// or https://"},
        {"x:9300", "http:// or https://"},
        {"", "http:// or https://"},
        {"http://", "no host"},
        {"http:///x", "no host"},
        {"http://:80/", "no host"},
        {"http://x:0/", "the port"},
        {"http://x:/", "the port"},
        {"http://x:70000/", "the port"},
        {"http://x:8a/", "the port"},
        {"http://u:p@x/", "use basic"},
        {"http://x/a b", "percent-encoded"},
        {"http://x/\xC3\xA9", "percent-encoded"},
        {"http://x/#a", "fragment"},
        {"http://[::1/", "brackets"},
        {"http://::1/", "no host"},
        {"http+unix://x/", "http:// or https://"},
        {"http://[::1]x/", "brackets"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(urls); i++) {
        char text[512];

        snprintf(text, sizeof(text), WATCHER("url: \"%s\""), urls[i][0]);
        assert_bad(text, "spec.watchers.http[0].url", 8, urls[i][1]);
    }
    assert_bad(
        HEAD SERVERS
        "  watchers:\n    http:\n    - {name: a, url: \"http://x/\"}\n    - name: a\n      url: http://y/\n",
        "spec.watchers.http[1].name", 9, "another watcher has the name \"a\"");
    assert_bad(HEAD SERVERS "  watchers:\n    http:\n    - {name: a b, url: \"http://x/\"}\n",
               "spec.watchers.http[0].name", 8, "is not a name");
    assert_bad(WATCHER("url: \"http://x/\", mode: structure"), "spec.watchers.http[0].mode", 8,
               "did you mean \"structured\"?");
    assert_bad(WATCHER("url: \"http://x/\", concurrency: 0"), "spec.watchers.http[0].concurrency", 8,
               "out of range");
    assert_bad(WATCHER("url: \"http://x/\", timeout: 30"), "spec.watchers.http[0].timeout", 8,
               "needs a unit");
    assert_bad(WATCHER("url: \"http://x/\", retry: {initial: 1m, max: 1s}"), "spec.watchers.http[0].retry", 8,
               "less than");
    assert_bad(WATCHER("url: \"http://x/\", retry: {deadlin: 1m}"), "spec.watchers.http[0].retry.deadlin", 8,
               "did you mean \"deadline\"?");
    assert_bad(WATCHER("url: \"http://x/\", headers: {Content-Type: x}"), "spec.watchers.http[0].headers", 8,
               "leave it away");
    assert_bad(WATCHER("url: \"http://x/\", headers: {\"a b\": x}"), "spec.watchers.http[0].headers", 8,
               "not the name of a header");
    assert_bad(WATCHER("url: \"http://x/\", headers: {a: \"x\\r\\ny\"}"), "spec.watchers.http[0].headers", 8,
               "line break");
    assert_bad(WATCHER("url: \"http://x/\", caFile: /ca"), "spec.watchers.http[0].url", 8, "https://");
    assert_bad(WATCHER("url: \"https://x/\", keyFile: /k"), "spec.watchers.http[0].keyFile", 8,
               "belong together");
    assert_bad(WATCHER("url: \"https://x/\", bearer: {name: t, key: k}, basic: {username: {name: t, key: u}, "
                       "password: {name: t, key: p}}"),
               "spec.watchers.http[0].basic", 8, "exclude each other");
    assert_bad(WATCHER("url: \"https://x/\", basic: {username: {name: t, key: u}}"),
               "spec.watchers.http[0].basic.password", 8, "missing");
}

static void what_argo_had_and_we_have_not_is_said(void **state)
{
    (void)state;
    assert_bad(HEAD SERVERS
               "  eventProtocol:\n    type: NATS\n    nats: {url: \"nats://x\", type: Standard}\n",
               "spec.eventProtocol", 7, "not supported yet: use watchers.http");
    assert_bad(HEAD SERVERS "  eventProtocol: {type: HTP}\n", "spec.eventProtocol.type", 6, "expected HTTP");
    assert_bad(HEAD SERVERS "  subscribers:\n    nats: [{name: a}]\n", "spec.subscribers.nats", 7,
               "not supported yet");
    assert_bad(HEAD SERVERS "  watchers:\n    sensors:\n    - {name: a}\n", "spec.eventProtocol.http.port", 8,
               "missing");
    assert_bad(HEAD SERVERS
               "  eventProtocol: {type: HTTP, http: {port: x}}\n  watchers:\n    sensors:\n    - {name: a}\n",
               "spec.watchers.sensors[0]", 9, "the port");
}

static void all_problems_come_at_once(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gwc_spec *spec = NULL;

    (void)state;
    assert_int_equal(
        gwc_spec_read(
            gw_view_text(
                HEAD "  servers: [{typ: a, address: x}]\n  watchers: {http: [{name: a, url: x, mod: y}]}\n"),
            &spec, &problems),
        GWC_SPEC_BAD);
    assert_int_equal(problems.count, 4); /* typ, no type, mod, url */
}

static void watchers_over_grpc_are_read(void **state)
{
#define SINK(fields) HEAD SERVERS "  watchers:\n    grpc:\n    - {name: a, " fields "}\n"
    static const struct {
        const char *fields, *path, *words;
    } bad[] = {
        {"address: \"http://x/\"", ".address", "http://x/"},
        {"address: \"x:1\", concurrency: 61", ".concurrency", "out of range"},
        {"address: \"x:1\", tls: {keyFile: /k}", ".tls", "belong together"},
        {"address: \"x:1\", retry: {initial: 1m, max: 1s}", ".retry", "less than"},
        {"address: \"x:1\", metadata: {X: z}", ".metadata", "a-z"},
        {"address: \"x:1\", metadata: {grpc-x: z}", ".metadata", "gRPC's own"},
        {"address: \"x:1\", metadata: {x-bin: z}", ".metadata", "bytes"},
        {"address: \"x:1\", bearer: {name: t, key: k}, metadata: {authorization: z}", ".metadata", "bearer"},
        {"address: \"x:1\", mode: binary", ".mode", "unknown"},
        {"concurrency: 2", ".address", "missing"},
    };
    GW_AUTO(gwc_spec_freep)
    struct gwc_spec *spec =
        read_good(SINK("address: \"unix:/s\", metadata: {x-shop: seven}, tls: {serverName: q}"));
    GW_AUTO(gwc_spec_freep)
    struct gwc_spec *other =
        read_good(SINK("address: \"unix:/s\", metadata: {x-shop: seven}, tls: {serverName: r}"));
    const struct gwc_watcher_spec *watcher = &spec->watchers[0];

    (void)state;
    assert_int_equal(watcher->transport, GWC_TRANSPORT_GRPC);
    assert_string_equal(watcher->address, "unix:/s");
    assert_string_equal(watcher->url, "grpc://unix:/s");
    assert_string_equal(watcher->headers.items[0].name, "x-shop");
    assert_true(watcher->tls.enabled);
    assert_int_equal(watcher->batch_max, 100);
    assert_int_equal(watcher->mode, GW_EVENT_BATCH);
    assert_true(gwc_watcher_spec_equal(watcher, watcher));
    assert_false(gwc_watcher_spec_equal(watcher, &other->watchers[0]));
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
        char text[512], path[64];

        snprintf(text, sizeof(text), SINK("%s"), bad[i].fields);
        snprintf(path, sizeof(path), "spec.watchers.grpc[0]%s", bad[i].path);
        assert_bad(text, path, 8, bad[i].words);
    }
}

static void differences_are_seen(void **state)
{
#define FULL(name, url, more)                                                                                \
    HEAD SERVERS "  watchers: {http: [{name: " name ", url: \"" url "\"" more "}]}\n"
    static const char *const others[] = {
        FULL("b", "https://x/", ""),
        FULL("a", "https://y/", ""),
        FULL("a", "https://x/", ", mode: binary"),
        FULL("a", "https://x/", ", concurrency: 1"),
        FULL("a", "https://x/", ", retry: {attempts: 1}"),
        FULL("a", "https://x/", ", headers: {a: b}"),
        FULL("a", "https://x/", ", bearer: {name: a, key: b}"),
        FULL("a", "https://x/", ", deadLetter: false"),
        FULL("a", "https://x/", ", insecureSkipVerify: true"),
        FULL("a", "https://x/", ", serverName: q"),
        FULL("a", "https://x/", ", timeout: 1s"),
    };
    GW_AUTO(gwc_spec_freep) struct gwc_spec *one = read_good(FULL("a", "https://x/", ""));
    GW_AUTO(gwc_spec_freep) struct gwc_spec *same = read_good(FULL("a", "https://x/", ", timeout: 30000ms"));

    (void)state;
    assert_true(gwc_watcher_spec_equal(&one->watchers[0], &same->watchers[0]));
    assert_true(gwc_server_spec_equal(&one->servers[0], &same->servers[0]));
    for (size_t i = 0; i < GW_COUNT_OF(others); i++) {
        GW_AUTO(gwc_spec_freep) struct gwc_spec *other = read_good(others[i]);

        assert_false(gwc_watcher_spec_equal(&one->watchers[0], &other->watchers[0]));
    }
    GW_AUTO(gwc_spec_freep)
    struct gwc_spec *moved = read_good(HEAD "  servers: [{type: calendar, address: \"127.0.0.1:9331\"}]\n");
    assert_false(gwc_server_spec_equal(&one->servers[0], &moved->servers[0]));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_spec_is_read_with_its_defaults),
        cmocka_unit_test(every_option_is_taken),
        cmocka_unit_test(a_gateway_of_argo_0_11_is_understood),
        cmocka_unit_test(a_gateway_of_argo_0_16_is_understood),
        cmocka_unit_test(a_gateway_of_the_api_server_is_the_same_as_that_of_a_file),
        cmocka_unit_test(argo_names_the_config_map_in_the_spec),
        cmocka_unit_test(the_environment_says_what_the_manifest_does_not),
        cmocka_unit_test(no_watchers_is_fine),
        cmocka_unit_test(a_bad_manifest_is_refused_in_words),
        cmocka_unit_test(bad_servers_are_refused_in_words),
        cmocka_unit_test(bad_watchers_are_refused_in_words),
        cmocka_unit_test(what_argo_had_and_we_have_not_is_said),
        cmocka_unit_test(all_problems_come_at_once),
        cmocka_unit_test(watchers_over_grpc_are_read),
        cmocka_unit_test(differences_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
