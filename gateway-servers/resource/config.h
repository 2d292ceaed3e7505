/* The settings of a resource source, as they are written. Pure. */
#ifndef RESOURCE_CONFIG_H
#define RESOURCE_CONFIG_H

#include "common/settings.h"

struct resource_filter {
    const char *prefix, *created_by;
    const struct gw_node *labels, *fields;
    struct gw_setting_pairs annotations;
    struct gw_setting_texts changed;
    bool after_start;
};

struct resource_config {
    struct gw_setting_texts namespaces, event_types;
    const char *group, *version, *resource, *kind;
    struct resource_filter filter;
    const char *mode, *payload;
    bool managed_fields, old_object, replay_existing;
};
extern const struct gw_setting resource_settings[];

#endif
