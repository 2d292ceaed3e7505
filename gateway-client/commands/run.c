/* gateway-client run: runs a gateway. */
#include "gateway-client/client.h"
#include "gateway-client/commands/command_line.h"
#include "gateway-client/commands/commands.h"

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
    struct gwc_client_options options = {.admin_address = "127.0.0.1:9301",
                                         .drain_ms = 10000,
                                         .delete_grace_ms = 30000,
                                         .leader = {.times = GWC_LEADER_TIMES}};
    struct gwc_origin_flags origins = {0};
    struct gw_reason reason = {""};
    const char *log_level = "info", *log_format = "logfmt", *namespace_;
    int words = 0;
    const struct gw_flag flags[] = {
        GWC_ORIGIN_FLAGS(origins),
        {"delete-grace", GW_FLAG_DURATION, &options.delete_grace_ms, "DURATION",
         "what a deleted Gateway or ConfigMap said stays in force for so long, for it to be made again "
         "(default 30s)",
         NULL},
        {"state", GW_FLAG_TEXT, &options.state_directory, "DIRECTORY", "where the outbox lives",
         "GATEWAY_STATE"},
        {"admin", GW_FLAG_TEXT, &options.admin_address, "ADDRESS",
         "where to serve /healthz, /readyz, /metrics, /api/v1/status (default 127.0.0.1:9301); none",
         "GATEWAY_ADMIN"},
        {"secrets", GW_FLAG_TEXT, &options.secrets, "DIRECTORY | kubernetes[:NAMESPACE]",
         "secrets: one file DIRECTORY/NAME/KEY each, or those of the cluster (default: of the cluster, when "
         "the "
         "Gateway or the event sources are there)",
         "GATEWAY_SECRETS"},
        {"leader-elect", GW_FLAG_BOOL, &options.leader.elect, NULL,
         "several gateway-clients share the state directory, and one of them, elected by a Lease, does the "
         "work",
         "GATEWAY_LEADER_ELECT"},
        {"lease-name", GW_FLAG_TEXT, &options.leader.lease_name, "[NAMESPACE/]NAME",
         "the Lease (default: the gateway's name with \"-gateway-client\")", NULL},
        {"lease-duration", GW_FLAG_DURATION, &options.leader.times.lease_ms, "DURATION",
         "followers take over when the leader has not renewed for so long (default 15s)", NULL},
        {"renew-deadline", GW_FLAG_DURATION, &options.leader.times.renew_ms, "DURATION",
         "a leader that could not renew for so long ends (default 10s)", NULL},
        {"retry-period", GW_FLAG_DURATION, &options.leader.times.retry_ms, "DURATION",
         "between two attempts to renew, or to take over (default 2s)", NULL},
        {"drain", GW_FLAG_DURATION, &options.drain_ms, "DURATION", "limit of an orderly end (default 10s)",
         NULL},
        {"log-level", GW_FLAG_TEXT, &log_level, "LEVEL", "debug, info (default), warn, error",
         "GATEWAY_LOG_LEVEL"},
        {"log-format", GW_FLAG_TEXT, &log_format, "FORMAT", "logfmt (default), json", "GATEWAY_LOG_FORMAT"},
        {0},
    };

    int ended = gwc_command_line(
        flags, argc, argv,
        "Usage: gateway-client run --gateway ORIGIN [--event-sources ORIGIN] --state DIRECTORY\n\n"
        "SIGTERM ends in order, SIGHUP reads the configuration again.",
        &words);
    if (ended > 0)
        return ended - 1;
    if (words > 0)
        return usage("unexpected word on the command line");
    if (gwc_origin_flags_read(&origins, &options.origins, &reason) < 0)
        return usage(reason.text);
    if (options.state_directory == NULL)
        return usage("--state is needed: the directory of the outbox");
    if (gwc_client_leader_check(&options.leader, &reason) < 0)
        return usage(reason.text);
    if (options.delete_grace_ms < 0)
        return usage("--delete-grace is a duration from 0s on");
    if (gw_secrets_in_cluster(options.secrets, &namespace_) && namespace_ != NULL && namespace_[0] == '\0')
        return usage("--secrets kubernetes:NAMESPACE lacks its namespace");
    if (!gw_log_set_level(log_level))
        return usage("--log-level is one of debug, info, warn, error");
    if (!gw_log_set_format(log_format))
        return usage("--log-format is one of logfmt, json");
    return gwc_client_run(&options);
}
