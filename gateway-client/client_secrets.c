/* The client's secrets: where --secrets says, and whoever uses one that changed has it at once. */
#include "gateway-client/client.h"

#include "common/kube.h"
#include "common/log.h"
#include "common/secrets.h"

/* A watcher that waited for it is opened; one that is open reads it again. */
static void on_secret(void *user, const char *name)
{
    struct gwc_client *client = user;

    gwc_client_retry_watchers(client);
    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].delivery != NULL)
            gwc_delivery_secret_changed(client->watchers[i].delivery, name);
}

/* Secrets are the Gateway's own: of its namespace, when it is an object. */
static const char *secrets_namespace(const struct gwc_client *client, const char *given)
{
    if (given != NULL)
        return given;
    return client->options->origins.gateway.kind == GWC_ORIGIN_FILE ? gwc_client_namespace(client)
                                                                    : client->namespace_;
}

int gwc_client_open_secrets(struct gwc_client *client)
{
    const struct gwc_client_options *options = client->options;
    const char *namespace_ = NULL;
    struct gw_reason reason = {""};
    struct gw_kube *kube;

    bool cluster = options->secrets == NULL ? gwc_origins_in_cluster(&options->origins)
                                            : gw_secrets_in_cluster(options->secrets, &namespace_);
    if (!cluster) {
        gw_secrets_set_directory(options->secrets);
        return 0;
    }
    int fault = gwc_client_kube(client, &kube, &reason);
    if (fault < 0)
        gw_log(GW_LOG_ERROR, "the API server cannot be used", "reason",
               reason.text[0] != '\0' ? reason.text : gw_fault_trace(), NULL);
    if (fault == 0)
        fault = gw_secrets_use_kube(kube, secrets_namespace(client, namespace_), on_secret, client);
    return fault;
}
