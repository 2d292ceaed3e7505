/* Which origins the command line and Argo's environment name: what `run` and `check` have in common. */
#ifndef GWC_ORIGIN_FLAGS_H
#define GWC_ORIGIN_FLAGS_H

#include "common/flags.h"
#include "gateway-client/origin/origin.h"

/* As given; NULL where not. */
struct gwc_origin_flags {
    const char *gateway, *event_sources, *namespace_, *kubeconfig, *context;
};

/* Rows of a table of flags that fill `flags`, a struct gwc_origin_flags. */
#define GWC_ORIGIN_FLAGS(flags)                                                                              \
    {"gateway",                                                                                              \
     GW_FLAG_TEXT,                                                                                           \
     &(flags).gateway,                                                                                       \
     "FILE | gateway:[NAMESPACE/]NAME",                                                                      \
     "the Gateway spec: a file, or the Gateway resource of a cluster",                                       \
     "GATEWAY_SPEC"},                                                                                        \
        {"event-sources",                                                                                    \
         GW_FLAG_TEXT,                                                                                       \
         &(flags).event_sources,                                                                             \
         "PATH | configmap:[NAMESPACE/]NAME",                                                                \
         "the event sources: a ConfigMap manifest, a directory that a ConfigMap is mounted on, or the "      \
         "ConfigMap of a cluster (default: the one that the Gateway spec names)",                            \
         "GATEWAY_EVENT_SOURCES"},                                                                           \
        {"namespace",                                                                                        \
         GW_FLAG_TEXT,                                                                                       \
         &(flags).namespace_,                                                                                \
         "NAMESPACE",                                                                                        \
         "of objects whose namespace is not said (default: that of the kubeconfig's context, or of the "     \
         "service account)",                                                                                 \
         "GATEWAY_NAMESPACE"},                                                                               \
        {"kubeconfig",                                                                                       \
         GW_FLAG_TEXT,                                                                                       \
         &(flags).kubeconfig,                                                                                \
         "FILE",                                                                                             \
         "how to reach the API server (default: the service account, else $KUBECONFIG, else "                \
         "~/.kube/config)",                                                                                  \
         "KUBE_CONFIG"},                                                                                     \
    {                                                                                                        \
        "context", GW_FLAG_TEXT, &(flags).context, "NAME",                                                   \
            "of the kubeconfig (default: its current-context)", NULL                                         \
    }

/* The same, understood. */
struct gwc_origins {
    struct gwc_origin_name gateway, event_sources;
    bool event_sources_given;         /* false: the Gateway spec names the ConfigMap */
    const char *namespace_;           /* NULL: what the API client says */
    const char *kubeconfig, *context; /* NULL: as gw_kube_options */
};

/* Adds what Argo's environment says (GATEWAY_NAME or NAME, GATEWAY_NAMESPACE or NAMESPACE, GATEWAY_EVENT_SOURCE_CONFIG_MAP,
 * GATEWAY_SERVER_PORT). -EINVAL with words: something is missing, or half right. Texts are borrowed. */
int gwc_origin_flags_read(const struct gwc_origin_flags *flags, struct gwc_origins *ret_origins,
                          struct gw_reason *reason) GW_MUST_CHECK;
/* Does any of them need the API server? */
bool gwc_origins_in_cluster(const struct gwc_origins *origins);

#endif
