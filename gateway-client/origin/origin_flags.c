/* Which origins the command line and Argo's environment name. */
#include "gateway-client/origin/origin_flags.h"

#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 512 };

/* Empty is as not given: that is how manifests leave a variable out. */
static const char *given(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static const char *environment(const char *name)
{
    return given(getenv(name));
}

/* Argo's v0.12 to v0.16 said NAME and NAMESPACE; a NAME alone is somebody else's. */
static const char *argo_gateway(void)
{
    const char *name = environment("GATEWAY_NAME");

    return name != NULL ? name : environment("NAMESPACE") != NULL ? environment("NAME") : NULL;
}

/* `variable`: Argo's, whose value is an object's name without the kind. */
static int origin_read(struct gwc_origin_name *ret_name, const char *flag, const char *value,
                       const char *variable, const char *argo, enum gwc_origin_kind kind,
                       struct gw_reason *reason)
{
    char text[TEXT_MAX];
    struct gw_reason why = {""};
    const char *expected =
        kind == GWC_ORIGIN_GATEWAY ? "gateway:NAME or a file" : "configmap:NAME, a file or a directory";

    snprintf(text, sizeof(text), "%s%s",
             kind == GWC_ORIGIN_GATEWAY ? "gateway:" : "configmap:", argo != NULL ? argo : "");
    if (gwc_origin_parse(ret_name, value != NULL ? value : text, &why) < 0)
        return GW_REFUSE(-EINVAL, reason, "%s: %s", value != NULL ? flag : variable, why.text);
    if (ret_name->kind != GWC_ORIGIN_FILE && ret_name->kind != kind)
        return GW_REFUSE(-EINVAL, reason, "%s: expected %s, got %s", flag, expected, value);
    return 0;
}

int gwc_origin_flags_read(const struct gwc_origin_flags *flags, struct gwc_origins *ret_origins,
                          struct gw_reason *reason)
{
    const char *gateway = given(flags->gateway), *sources = given(flags->event_sources);
    const char *argo_name = argo_gateway(), *argo_sources = environment("GATEWAY_EVENT_SOURCE_CONFIG_MAP");
    const char *argo_variable = environment("GATEWAY_NAME") != NULL ? "GATEWAY_NAME" : "NAME";
    struct gwc_origins origins = {
        .event_sources_given = sources != NULL || argo_sources != NULL,
        .namespace_ = given(flags->namespace_) != NULL ? flags->namespace_ : environment("NAMESPACE"),
        .kubeconfig = given(flags->kubeconfig),
        .context = given(flags->context),
    };

    if (gateway == NULL && argo_name == NULL)
        return GW_REFUSE(-EINVAL, reason,
                         "--gateway is needed: a file, or gateway:NAME for the resource of a cluster");
    GW_TRY(origin_read(&origins.gateway, "--gateway", gateway, argo_variable, argo_name, GWC_ORIGIN_GATEWAY,
                       reason));
    if (origins.event_sources_given)
        GW_TRY(origin_read(&origins.event_sources, "--event-sources", sources,
                           "GATEWAY_EVENT_SOURCE_CONFIG_MAP", argo_sources, GWC_ORIGIN_CONFIGMAP, reason));
    if (origins.namespace_ != NULL && !gw_dns_label_valid(gw_view_text(origins.namespace_)))
        return GW_REFUSE(
            -EINVAL, reason,
            "--namespace: \"%s\" is not a namespace: lower-case letters, digits and '-' make one",
            origins.namespace_);
    gwc_spec_set_defaults(origins.namespace_, environment("GATEWAY_SERVER_PORT"));
    *ret_origins = origins;
    return 0;
}

bool gwc_origins_in_cluster(const struct gwc_origins *origins)
{
    return origins->gateway.kind != GWC_ORIGIN_FILE || !origins->event_sources_given ||
           origins->event_sources.kind != GWC_ORIGIN_FILE;
}
