/* gateway-client run: runs a gateway. */
#include "gateway-client/client.h"
#include "gateway-client/command_line.h"
#include "gateway-client/commands.h"

#include "common/log.h"
#include "common/secrets.h"

#include <stdio.h>

static int usage(const char *words)
{
    fprintf(stderr, "gateway-client run: %s (see --help)\n", words);
    return GW_EXIT_USAGE;
}

int gwc_cmd_run(int argc, char **argv)
{
    struct gwc_client_options options = {.admin_address = "127.0.0.1:9301", .drain_ms = 10000};
    const char *gateway = NULL, *sources = NULL, *log_level = "info", *log_format = "logfmt", *secrets = NULL;
    int words = 0;
    const struct gw_flag flags[] = {
        {"gateway", GW_FLAG_TEXT, &gateway, "FILE", "the Gateway spec", "GATEWAY_SPEC"},
        {"event-sources", GW_FLAG_TEXT, &sources, "PATH",
         "the event sources: a ConfigMap manifest, or a directory that a ConfigMap is mounted on",
         "GATEWAY_EVENT_SOURCES"},
        {"state", GW_FLAG_TEXT, &options.state_directory, "DIRECTORY", "where the outbox lives",
         "GATEWAY_STATE"},
        {"admin", GW_FLAG_TEXT, &options.admin_address, "ADDRESS",
         "where to serve /healthz, /readyz, /metrics, /api/v1/status (default 127.0.0.1:9301); none",
         "GATEWAY_ADMIN"},
        {"secrets", GW_FLAG_TEXT, &secrets, "DIRECTORY", "secrets: one file DIRECTORY/NAME/KEY each",
         "GATEWAY_SECRETS"},
        {"drain", GW_FLAG_DURATION, &options.drain_ms, "DURATION", "limit of an orderly end (default 10s)",
         NULL},
        {"log-level", GW_FLAG_TEXT, &log_level, "LEVEL", "debug, info (default), warn, error",
         "GATEWAY_LOG_LEVEL"},
        {"log-format", GW_FLAG_TEXT, &log_format, "FORMAT", "logfmt (default), json", "GATEWAY_LOG_FORMAT"},
        {0},
    };

    int ended =
        gwc_command_line(flags, argc, argv,
                         "Usage: gateway-client run --gateway FILE --event-sources PATH --state DIRECTORY\n\n"
                         "SIGTERM ends in order, SIGHUP reads the configuration again.",
                         &words);
    if (ended > 0)
        return ended - 1;
    if (words > 0)
        return usage("unexpected word on the command line");
    if (gateway == NULL || sources == NULL || options.state_directory == NULL)
        return usage("--gateway, --event-sources and --state are needed");
    if (!gw_log_set_level(log_level))
        return usage("--log-level is one of debug, info, warn, error");
    if (!gw_log_set_format(log_format))
        return usage("--log-format is one of logfmt, json");
    options.gateway = (struct gwc_origin_name){.kind = GWC_ORIGIN_FILE, .path = gateway};
    options.event_sources = (struct gwc_origin_name){.kind = GWC_ORIGIN_FILE, .path = sources};
    gw_secrets_set_directory(secrets);
    return gwc_client_run(&options);
}
