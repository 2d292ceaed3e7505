/* main() of every gateway-server: flags, the loop, the gRPC server, an orderly end. */
#include "gateway-servers/sdk/server.h"

#include "common/flags.h"
#include "common/kube.h"
#include "common/secrets.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRAIN_LOOK_MS = 20, END_GRACE_MS = 1000 };

struct options {
    const char *listen[GW_FLAG_TEXTS_MAX + 1];
    const char *port; /* Argo's GATEWAY_SERVER_PORT */
    const char *admin, *health, *log_level, *log_format, *secrets;
    const char *tls_certificate, *tls_key, *tls_client_ca;
    const char *kubeconfig, *context, *state;
    int64_t drain_ms;
    bool version, print_settings, print_schema;
};

struct process {
    struct gws_server server;
    struct options options;
    struct gw_admin *admin;
    struct gw_signal *term, *interrupt;
    struct gw_timer *drain_timer;
    int64_t drain_until_ms;
    bool ended;
};

/* ---- the orderly end: pause, wait for acknowledgements, end the streams, leave the loop ---- */

static void process_end_streams(struct process *process)
{
    process->ended = true;
    gws_health_set(&process->server, false);
    gws_sources_end(&process->server, "the gateway-server is shutting down");
    process->drain_until_ms = gw_loop_now_ms(process->server.loop) + END_GRACE_MS;
}

static void on_drain(void *user)
{
    struct process *process = user;
    struct gws_server *server = &process->server;
    bool late = gw_loop_now_ms(server->loop) >= process->drain_until_ms;

    if (!process->ended && (late || gws_sources_quiet(server)))
        process_end_streams(process);
    if (process->ended && (late || server->sources == NULL)) {
        gw_loop_stop(server->loop);
        return;
    }
    gw_timer_start(process->drain_timer, DRAIN_LOOK_MS);
}

static void on_terminate(void *user)
{
    struct process *process = user;

    if (process->server.stopping) {
        gw_loop_stop(process->server.loop); /* asked twice: now */
        return;
    }
    gw_log(GW_LOG_INFO, "stopping", "type", process->server.module->type, NULL);
    process->server.stopping = true;
    process->drain_until_ms = gw_loop_now_ms(process->server.loop) + process->options.drain_ms;
    gws_sources_pause(&process->server);
    on_drain(process);
}

/* ---- start ---- */

static const char *text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static void count_register(struct gws_server *server)
{
    struct gw_metrics *metrics = server->metrics;
    const struct {
        struct gw_series **series;
        enum gw_metric_kind kind;
        const char *name, *help;
    } rows[] = {
        {&server->counts.sources, GW_GAUGE, "gateway_server_sources", "Event sources that run."},
        {&server->counts.paused, GW_GAUGE, "gateway_server_sources_paused", "Event sources told to pause."},
        {&server->counts.started, GW_COUNTER, "gateway_server_starts_total", "Event sources started."},
        {&server->counts.refused, GW_COUNTER, "gateway_server_start_failures_total",
         "Event sources refused at start."},
        {&server->counts.emitted, GW_COUNTER, "gateway_server_events_total", "Events emitted."},
        {&server->counts.acknowledged, GW_COUNTER, "gateway_server_events_acknowledged_total",
         "Events that the gateway-client made durable."},
    };

    gw_metrics_add_process(metrics);
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
        *rows[i].series = gw_family_series(
            gw_metrics_family(metrics, rows[i].kind, rows[i].name, rows[i].help, "", NULL, 0), NULL);
}

/* Probes come from outside and without certificates, while the gateway-client may come by a socket file or with TLS. */
static int health_listen(struct process *process, struct gw_reason *reason)
{
    const char *addresses[] = {text_or_null(process->options.health), NULL};
    struct gw_rpc_server_options options = {.addresses = addresses};

    if (addresses[0] == NULL)
        return 0;
    return gw_rpc_server_open(&process->server.health_rpc, &options, gws_health_methods,
                              GW_COUNT_OF(gws_health_methods), &process->server, reason);
}

static int server_listen(struct process *process, struct gw_reason *reason)
{
    struct gw_rpc_method methods[GW_COUNT_OF(gws_v1_methods) + GW_COUNT_OF(gws_argo_methods) +
                                 GW_COUNT_OF(gws_health_methods)];
    static struct gw_rpc_method table[GW_COUNT_OF(methods)]; /* borrowed by the gRPC server for its life */
    char by_port[32];
    const char *port_address[] = {by_port, NULL};
    const char *const *addresses = process->options.listen;

    memcpy(table, gws_v1_methods, sizeof(gws_v1_methods));
    memcpy(table + 3, gws_argo_methods, sizeof(gws_argo_methods));
    memcpy(table + 6, gws_health_methods, sizeof(gws_health_methods));
    if (addresses[0] == NULL) {
        snprintf(by_port, sizeof(by_port), "127.0.0.1:%s", process->options.port);
        addresses = port_address;
    }
    struct gw_rpc_server_options options = {
        .addresses = addresses,
        .tls = {.enabled = process->options.tls_certificate != NULL,
                .certificate_file = process->options.tls_certificate,
                .key_file = process->options.tls_key,
                .ca_file = process->options.tls_client_ca},
    };
    GW_TRY(health_listen(process, reason));
    GW_TRY(gw_rpc_server_open(&process->server.rpc, &options, table, GW_COUNT_OF(table), &process->server,
                              reason));
    for (size_t i = 0; addresses[i] != NULL; i++)
        gw_log(GW_LOG_INFO, "listening", "type", process->server.module->type, "address", addresses[i],
               "version", gws_version(process->server.module), NULL);
    return 0;
}

/* One level, as `mkdir` makes it: a longer path that is not there is a volume that is not mounted. */
static int state_open(struct process *process, struct gw_reason *reason)
{
    const char *directory = text_or_null(process->options.state);

    if (directory == NULL)
        return 0;
    if ((mkdir(directory, 0700) < 0 && errno != EEXIST) || access(directory, R_OK | W_OK | X_OK) < 0) {
        int fault = -errno;
        return GW_REFUSE(fault, reason, "--state %s: not a directory that can be made or written: %s",
                         directory, strerror(-fault));
    }
    process->server.state_directory = directory;
    return 0;
}

static int secrets_open(struct process *process, struct gw_reason *reason)
{
    const char *namespace_;
    struct gw_kube *kube;

    if (!gw_secrets_in_cluster(process->options.secrets, &namespace_)) {
        gw_secrets_set_directory(process->options.secrets);
        return 0;
    }
    GW_TRY(gws_server_kube(&process->server, &kube, reason));
    return gw_secrets_use_kube(kube, namespace_ != NULL ? namespace_ : gw_kube_namespace(kube), NULL, NULL);
}

static int process_open(struct process *process, struct gw_reason *reason)
{
    struct gws_server *server = &process->server;

    signal(SIGPIPE, SIG_IGN);
    gws_health_init(server);
    GW_TRY(gw_loop_open(&server->loop));
    GW_TRY(gw_signal_open(&process->term, server->loop, SIGTERM, on_terminate, process));
    GW_TRY(gw_signal_open(&process->interrupt, server->loop, SIGINT, on_terminate, process));
    GW_TRY(gw_timer_open(&process->drain_timer, server->loop, on_drain, process));
    server->metrics = gw_metrics_new();
    if (server->metrics == NULL)
        return GW_RAISE(-ENOMEM);
    count_register(server);
    server->kubeconfig = text_or_null(process->options.kubeconfig);
    server->context = text_or_null(process->options.context);
    GW_TRY(state_open(process, reason));
    GW_TRY(secrets_open(process, reason));
    if (server->module->open != NULL)
        GW_TRY(server->module->open(server, &server->data, reason));
    if (strcmp(process->options.admin, "none") != 0) {
        struct gw_admin_options admin = {
            .address = process->options.admin, .metrics = server->metrics, .user = server};
        GW_TRY(gw_admin_open(&process->admin, server->loop, &admin, reason));
    }
    return server_listen(process, reason);
}

static void process_close(struct process *process)
{
    struct gws_server *server = &process->server;

    server->rpc = gw_rpc_server_close(server->rpc, END_GRACE_MS);
    server->health_rpc = gw_rpc_server_close(server->health_rpc, END_GRACE_MS);
    if (server->loop != NULL)
        for (int i = 0; i < 10; i++) /* what the gRPC threads posted at the end */
            gw_loop_turn(server->loop, 0);
    process->admin = gw_admin_close(process->admin);
    if (server->module->close != NULL && server->data != NULL)
        server->module->close(server, server->data);
    (void)!gw_secrets_use_kube(NULL, NULL, NULL, NULL);
    server->kube = gw_kube_close(server->kube);
    server->loop = gw_loop_close(server->loop);
    server->metrics = gw_metrics_free(server->metrics);
    gws_health_done(server);
}

static void rpc_log(int severity, const char *file, int line, const char *message)
{
    (void)file, (void)line;
    gw_log(severity >= 2 ? GW_LOG_WARN : GW_LOG_DEBUG, message, "part", "grpc", NULL);
}

static int serve(const struct gws_module *module, const struct options *options)
{
    struct process process = {.server.module = module, .options = *options};
    struct gw_reason reason = {""};

    gw_rpc_set_log(rpc_log);
    int fault = process_open(&process, &reason);
    if (fault == 0)
        gw_loop_run(process.server.loop);
    else
        gw_log(GW_LOG_ERROR, "cannot start", "type", module->type, "reason",
               reason.text[0] != '\0' ? reason.text : gw_fault_trace(), NULL);
    process_close(&process);
    if (fault == 0)
        gw_log(GW_LOG_INFO, "stopped", "type", module->type, NULL);
    return fault == 0 ? GW_EXIT_OK : GW_EXIT_FAULT;
}

/* ---- the command line ---- */

static void print_help(const struct gws_module *module, const struct gw_flag *flags)
{
    printf("gateway-server-%s: %s\n\nUsage: gateway-server-%s [flags]\n", module->type, module->summary,
           module->type);
    if (module->command_help != NULL)
        printf("       gateway-server-%s %s\n", module->type, module->command_help);
    printf("\nFlags:\n");
    gw_flags_print(flags);
    printf(
        "\nExit codes: 0 stopped in order, 1 a fault, 2 wrong usage, 3 a configuration that cannot work.\n");
}

static int print_text(void (*print)(const struct gws_module *module, struct gw_bytes *out),
                      const struct gws_module *module)
{
    struct gw_bytes out = {0};

    print(module, &out);
    const char *text = gw_bytes_text(&out);
    if (text != NULL)
        puts(text);
    gw_bytes_done(&out);
    return text != NULL ? GW_EXIT_OK : GW_EXIT_FAULT;
}

static void print_settings(const struct gws_module *module, struct gw_bytes *out)
{
    gw_settings_markdown(module->settings, out);
}

static void print_schema(const struct gws_module *module, struct gw_bytes *out)
{
    gw_settings_schema(module->settings, module->type, out);
}

static int usage(const struct gws_module *module, const char *words)
{
    fprintf(stderr, "gateway-server-%s: %s (see --help)\n", module->type, words);
    return GW_EXIT_USAGE;
}

static int usage_word(const struct gws_module *module, const char *word)
{
    struct gw_reason words;

    gw_reason_set(&words, "unexpected word \"%s\" on the command line", word);
    return usage(module, words.text);
}

static bool is_command(const struct gws_module *module, const char *word)
{
    size_t size = module->command == NULL ? 0 : strcspn(module->command_help, " ");

    return size > 0 && strlen(word) == size && memcmp(word, module->command_help, size) == 0;
}

/* Takes a flag out of the table: the module has no use for it. */
static void flag_drop(struct gw_flag *flags, const char *name)
{
    while (strcmp(flags->name, name) != 0)
        flags++;
    for (; flags->name != NULL; flags++)
        flags[0] = flags[1];
}

int gws_main(const struct gws_module *module, int argc, char **argv)
{
    struct options options = {
        .port = "9330", .admin = "none", .log_level = "info", .log_format = "logfmt", .drain_ms = 5000};
    struct gw_flag flags[] = {
        {"listen", GW_FLAG_TEXTS, options.listen, "ADDRESS",
         "where to serve gRPC: host:port or unix:/path; may be repeated (default 127.0.0.1:9330)", NULL},
        {"port", GW_FLAG_TEXT, &options.port, "PORT", "port on 127.0.0.1 when there is no --listen",
         "GATEWAY_SERVER_PORT"},
        {"admin", GW_FLAG_TEXT, &options.admin, "ADDRESS",
         "where to serve /healthz, /readyz, /metrics; none (default)", NULL},
        {"health", GW_FLAG_TEXT, &options.health, "ADDRESS",
         "where to serve grpc.health.v1.Health alone, without TLS, for Kubernetes' gRPC probes (default: "
         "nowhere besides --listen)",
         NULL},
        {"tls-certificate", GW_FLAG_TEXT, &options.tls_certificate, "FILE", "PEM certificate: gRPC over TLS",
         NULL},
        {"tls-key", GW_FLAG_TEXT, &options.tls_key, "FILE", "PEM key of the certificate", NULL},
        {"tls-client-ca", GW_FLAG_TEXT, &options.tls_client_ca, "FILE",
         "require client certificates of this CA", NULL},
        {"secrets", GW_FLAG_TEXT, &options.secrets, "DIRECTORY | kubernetes[:NAMESPACE]",
         "secrets: one file DIRECTORY/NAME/KEY each, or those of the cluster", "GATEWAY_SECRETS"},
        {"kubeconfig", GW_FLAG_TEXT, &options.kubeconfig, "FILE",
         "how to reach the API server (default: in-cluster, else $KUBECONFIG, else ~/.kube/config)",
         "KUBE_CONFIG"},
        {"context", GW_FLAG_TEXT, &options.context, "NAME",
         "context of the kubeconfig (default its current one)", NULL},
        {"state", GW_FLAG_TEXT, &options.state, "DIRECTORY",
         "where to keep what outlives the process (default: nowhere)", "GATEWAY_STATE"},
        {"drain", GW_FLAG_DURATION, &options.drain_ms, "DURATION",
         "how long to wait for acknowledgements when stopping (default 5s)", NULL},
        {"log-level", GW_FLAG_TEXT, &options.log_level, "LEVEL", "debug, info (default), warn, error", NULL},
        {"log-format", GW_FLAG_TEXT, &options.log_format, "FORMAT", "logfmt (default), json", NULL},
        {"print-settings", GW_FLAG_BOOL, &options.print_settings, NULL,
         "print the settings as Markdown and end", NULL},
        {"print-schema", GW_FLAG_BOOL, &options.print_schema, NULL,
         "print the settings as JSON Schema and end", NULL},
        {"version", GW_FLAG_BOOL, &options.version, NULL, "print the version and end", NULL},
        {0},
    };
    struct gw_reason reason = {""};
    const char *namespace_;
    int words = 0;

    if (argc > 1 && is_command(module, argv[1]))
        return module->command(argc - 1, argv + 1);
    if (!module->uses_state)
        flag_drop(flags, "state");
    int read = gw_flags_read(flags, argc, argv, &words, &reason);
    if (read == GW_FLAGS_HELP) {
        print_help(module, flags);
        return GW_EXIT_OK;
    }
    if (read < 0)
        return usage(module, reason.text);
    if (words > 0)
        return usage_word(module, argv[1]);
    if (!gw_log_set_level(options.log_level))
        return usage(module, "--log-level is one of debug, info, warn, error");
    if (!gw_log_set_format(options.log_format))
        return usage(module, "--log-format is one of logfmt, json");
    if ((options.tls_certificate == NULL) != (options.tls_key == NULL))
        return usage(module, "--tls-certificate and --tls-key belong together");
    if (gw_secrets_in_cluster(options.secrets, &namespace_) && namespace_ != NULL && namespace_[0] == '\0')
        return usage(module, "--secrets kubernetes:NAMESPACE lacks its namespace");
    if (options.version) {
        printf("gateway-server-%s %s\n", module->type, gws_version(module));
        return GW_EXIT_OK;
    }
    if (options.print_settings)
        return print_text(print_settings, module);
    if (options.print_schema)
        return print_text(print_schema, module);
    return serve(module, &options);
}
