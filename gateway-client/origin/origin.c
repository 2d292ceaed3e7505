/* An origin: its name taken apart, and what all kinds have in common. */
#include "gateway-client/origin/origin_parts.h"

#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const gwc_origin_state_names[] = {
    [GWC_ORIGIN_UNHEARD] = "unheard", [GWC_ORIGIN_ABSENT] = "absent", [GWC_ORIGIN_PRESENT] = "present",
    [GWC_ORIGIN_LEAVING] = "leaving", [GWC_ORIGIN_GONE] = "gone",
};

/* ---- names ---- */

static const struct {
    const char *prefix;
    enum gwc_origin_kind kind;
} origin_prefixes[] = {{"gateway:", GWC_ORIGIN_GATEWAY}, {"configmap:", GWC_ORIGIN_CONFIGMAP}};

static int object_parse(struct gwc_origin_name *name, const char *prefix, const char *text,
                        struct gw_reason *reason)
{
    const char *slash = strchr(text, '/'), *object = slash == NULL ? text : slash + 1;
    struct gw_view namespace_ = gw_view(text, slash == NULL ? 0 : (size_t)(slash - text));

    if (object[0] == '\0')
        return GW_REFUSE(-EINVAL, reason, "\"%s%s\" has no name: write %sNAME or %sNAMESPACE/NAME", prefix,
                         text, prefix, prefix);
    if (slash != NULL && !gw_dns_label_valid(namespace_))
        return GW_REFUSE(-EINVAL, reason,
                         "\"%.*s\" is not a namespace: at most 63 lower-case letters, digits and '-' make "
                         "one, with a letter or "
                         "digit at both ends",
                         (int)GW_MIN(namespace_.size, (size_t)GWC_ORIGIN_NAME_MAX), text);
    if (!gw_dns_name_valid(gw_view_text(object)))
        return GW_REFUSE(-EINVAL, reason,
                         "\"%.*s\" is not a name: at most 253 lower-case letters, digits, '-' and '.' make "
                         "one, with a letter or "
                         "digit at both ends of each part between dots",
                         GWC_ORIGIN_NAME_MAX, object);
    memcpy(name->namespace_, namespace_.data, namespace_.size);
    strcpy(name->name, object);
    return 0;
}

int gwc_origin_parse(struct gwc_origin_name *ret_name, const char *text, struct gw_reason *reason)
{
    struct gwc_origin_name name = {.kind = GWC_ORIGIN_FILE, .path = text};

    if (text[0] == '\0')
        return GW_REFUSE(-EINVAL, reason, "it is empty");
    for (size_t i = 0; i < GW_COUNT_OF(origin_prefixes); i++) {
        size_t size = strlen(origin_prefixes[i].prefix);
        if (strncmp(text, origin_prefixes[i].prefix, size) != 0)
            continue;
        name = (struct gwc_origin_name){.kind = origin_prefixes[i].kind};
        GW_TRY(object_parse(&name, origin_prefixes[i].prefix, text + size, reason));
    }
    *ret_name = name;
    return 0;
}

bool gwc_origin_of_spec(struct gwc_origin_name *ret_name, const struct gwc_spec *spec)
{
    const char *namespace_ = spec->event_source.namespace_, *name = spec->event_source.name;

    if (name == NULL)
        return false;
    *ret_name = (struct gwc_origin_name){.kind = GWC_ORIGIN_CONFIGMAP};
    snprintf(ret_name->namespace_, sizeof(ret_name->namespace_), "%s", namespace_ != NULL ? namespace_ : "");
    snprintf(ret_name->name, sizeof(ret_name->name), "%s", name);
    return true;
}

char *gwc_origin_label_of(const struct gwc_origin_name *name, const char *namespace_)
{
    const char *kind = name->kind == GWC_ORIGIN_GATEWAY ? "gateway" : "configmap";
    char *label = NULL;

    if (name->kind == GWC_ORIGIN_FILE)
        return strdup(name->path);
    if (asprintf(&label, "%s %s/%s", kind, name->namespace_[0] != '\0' ? name->namespace_ : namespace_,
                 name->name) < 0)
        return NULL;
    return label;
}

/* ---- what all kinds have in common ---- */

int gwc_origin_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                    const struct gwc_origin_options *options)
{
    if (name->kind == GWC_ORIGIN_FILE)
        GW_TRY(gwc_origin_file_open(ret_origin, name, options));
    else
        GW_TRY(gwc_origin_kube_open(ret_origin, name, options));
    return 0;
}

struct gwc_origin *gwc_origin_close(struct gwc_origin *origin)
{
    if (origin != NULL) {
        free(origin->label);
        origin->ops->close(origin);
    }
    return NULL;
}

const char *gwc_origin_label(const struct gwc_origin *origin)
{
    return origin == NULL ? "" : origin->label;
}

enum gwc_origin_kind gwc_origin_kind(const struct gwc_origin *origin)
{
    return origin->kind;
}

enum gwc_origin_state gwc_origin_state(const struct gwc_origin *origin)
{
    return origin->ops->state(origin);
}

struct gw_view gwc_origin_object(const struct gwc_origin *origin)
{
    return origin->ops->object != NULL ? origin->ops->object(origin) : gw_view(NULL, 0);
}

bool gwc_origin_words(const struct gwc_origin *origin, struct gw_reason *words)
{
    return origin->ops->words(origin, words);
}

bool gwc_origin_is(const struct gwc_origin *origin, const struct gwc_origin_name *name,
                   const char *namespace_)
{
    GW_AUTO(gw_freep) char *label = gwc_origin_label_of(name, namespace_);

    return origin->kind == name->kind && label != NULL && strcmp(origin->label, label) == 0;
}

int gwc_origin_read_spec(struct gwc_origin *origin, struct gwc_spec **ret_spec, struct gw_problems *problems)
{
    return origin->ops->read_spec(origin, ret_spec, problems);
}

int gwc_origin_read_sources(struct gwc_origin *origin, const struct gwc_spec *spec,
                            struct gwc_sources **ret_sources, struct gw_problems *problems)
{
    return origin->ops->read_sources(origin, spec, ret_sources, problems);
}
