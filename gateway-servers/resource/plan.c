/* Plan: the checks that the settings table cannot make, and the judgement of an object. */
#include "gateway-servers/resource/plan.h"

#include "common/clock.h"
#include "common/json.h"

#include <ctype.h>
#include <stdio.h>

const char *const change_names[CHANGES] = {"ADD", "UPDATE", "DELETE"};

/* ---- what to watch ---- */

static const char *text_or(const char *text, const char *otherwise)
{
    return text == NULL || text[0] == '\0' ? otherwise : text;
}

/* RFC 1123, as API groups (with dots), resources and namespaces must be. */
static bool dns_good(const char *text, const char *others, size_t size_max)
{
    size_t size = strlen(text);

    if (size == 0 || size > size_max || strchr("-.", text[0]) != NULL || strchr("-.", text[size - 1]) != NULL)
        return false;
    for (; *text != '\0'; text++)
        if (!islower((unsigned char)*text) && !isdigit((unsigned char)*text) && strchr(others, *text) == NULL)
            return false;
    return true;
}

static void check_group(const struct plan *plan, struct gw_problems *problems)
{
    if (strcmp(plan->group, "core") == 0)
        gw_problems_add(problems, "group", 0, "the core group has no name: leave group out");
    else if (strchr(plan->group, '/') != NULL)
        gw_problems_add(problems, "group", 0, "\"%s\": the version has a setting of its own", plan->group);
    else if (plan->group[0] != '\0' && !dns_good(plan->group, "-.", 253))
        gw_problems_add(problems, "group", 0, "\"%s\" is not the name of an API group such as apps",
                        plan->group);
    if (!dns_good(plan->version, "-", 63))
        gw_problems_add(problems, "version", 0, "\"%s\" is not a version such as v1 or v1beta1",
                        plan->version);
}

static void check_resource(const struct plan *plan, struct gw_problems *problems)
{
    const char *resource = plan->resource;

    if ((resource == NULL) == (plan->kind == NULL))
        gw_problems_add(problems, "resource", 0, "%s",
                        resource == NULL ? "missing: the plural name, such as deployments"
                                         : "either resource or kind, not both");
    else if (resource != NULL && strchr(resource, '/') != NULL)
        gw_problems_add(problems, "resource", 0, "\"%s\": parts of a resource cannot be watched", resource);
    else if (resource != NULL && isupper((unsigned char)resource[0]))
        gw_problems_add(problems, "resource", 0,
                        "\"%s\" is a kind: write its plural in lower case, or kind: %s", resource, resource);
    else if (resource != NULL && !dns_good(resource, "-.", 253))
        gw_problems_add(problems, "resource", 0, "\"%s\" is not the name of a resource such as deployments",
                        resource);
}

static bool is_named_before(const struct gw_setting_texts *texts, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(texts->items[i], texts->items[j]) == 0)
            return true;
    return false;
}

static void plan_namespaces(struct plan *plan, const struct gw_setting_texts *texts,
                            struct gw_problems *problems)
{
    static const char *const all[] = {""};
    char path[48];

    plan->namespaces = texts->count == 0 ? all : texts->items;
    plan->namespaces_count = GW_MAX(texts->count, (size_t)1);
    if (texts->count > PLAN_NAMESPACES_MAX)
        gw_problems_add(problems, "namespaces", 0, "more than %d: leave it out to watch all",
                        PLAN_NAMESPACES_MAX);
    for (size_t i = 0; i < texts->count; i++) {
        const char *name = texts->items[i];

        snprintf(path, sizeof(path), "namespaces[%zu]", i);
        if (name[0] == '\0' ? texts->count > 1 : !dns_good(name, "-", 63))
            gw_problems_add(problems, path, 0, "\"%s\" is not the name of a namespace", name);
        else if (is_named_before(texts, i))
            gw_problems_add(problems, path, 0, "\"%s\" is there twice", name);
    }
}

/* ---- which of it ---- */

static void plan_changes(struct plan *plan, const struct gw_setting_texts *types)
{
    for (size_t change = 0; change < CHANGES; change++) {
        plan->told[change] = types->count == 0;
        for (size_t i = 0; i < types->count; i++)
            if (strcmp(types->items[i], change_names[change]) == 0)
                plan->told[change] = true;
    }
}

static void plan_times(struct plan *plan, const struct resource_filter *filter, struct gw_problems *problems)
{
    plan->after_start = filter->after_start;
    plan->created_by_given = text_or(filter->created_by, NULL) != NULL;
    if (plan->created_by_given && !gw_time_parse(gw_view_text(filter->created_by), &plan->created_by_ns))
        gw_problems_add(problems, "filter.createdBy", 0,
                        "\"%s\" is not an RFC 3339 time such as 2026-03-01T08:30:00Z", filter->created_by);
}

static int plan_changed(struct plan *plan, const struct gw_setting_texts *texts, struct gw_problems *problems)
{
    size_t count = GW_MIN(texts->count, (size_t)PLAN_CHANGED_MAX);
    struct path *paths = gw_arena_alloc(&plan->arena, GW_MAX(count, (size_t)1) * sizeof(*paths));
    char path[48];

    if (paths == NULL)
        return GW_RAISE(-ENOMEM);
    if (texts->count > count)
        gw_problems_add(problems, "filter.changed", 0, "more than %d paths", PLAN_CHANGED_MAX);
    for (size_t i = 0; i < count; i++) {
        struct gw_reason reason;
        int fault = path_parse(&paths[i], texts->items[i], &plan->arena, &reason);

        snprintf(path, sizeof(path), "filter.changed[%zu]", i);
        if (fault == -EINVAL)
            gw_problems_add(problems, path, 0, "%s", reason.text);
        else
            GW_TRY(fault);
    }
    plan->changed = paths;
    plan->changed_count = count;
    return 0;
}

/* A value that the table refused is absent here. */
static void plan_shape(struct plan *plan, const struct resource_config *config)
{
    plan->legacy = strcmp(text_or(config->payload, "v0.11"), "v0.11") == 0;
    plan->reference = strcmp(text_or(config->mode, "full"), "reference") == 0;
    plan->managed_fields = config->managed_fields;
    plan->replay = config->replay_existing;
    plan->keeps_objects = plan->legacy && config->old_object && !plan->reference && plan->told[CHANGE_UPDATE];
}

int plan_make(struct plan *plan, const struct resource_config *config, struct gw_problems *problems)
{
    const struct resource_filter *filter = &config->filter;

    *plan = (struct plan){
        .group = text_or(config->group, ""),
        .version = text_or(config->version, ""),
        .resource = text_or(config->resource, NULL),
        .kind = text_or(config->kind, NULL),
        .prefix = text_or(filter->prefix, ""),
        .annotations = &filter->annotations,
    };
    check_group(plan, problems);
    check_resource(plan, problems);
    plan_namespaces(plan, &config->namespaces, problems);
    plan_changes(plan, &config->event_types);
    plan_times(plan, filter, problems);
    plan_shape(plan, config);
    GW_TRY(selector_read(&plan->labels, SELECTOR_LABELS, filter->labels, "filter.labels", &plan->arena,
                         problems));
    GW_TRY(selector_read(&plan->fields, SELECTOR_FIELDS, filter->fields, "filter.fields", &plan->arena,
                         problems));
    return plan_changed(plan, &filter->changed, problems);
}

void plan_done(struct plan *plan)
{
    gw_arena_done(&plan->arena);
}

/* ---- judging ---- */

static bool annotations_hold(const struct gw_setting_pairs *wanted, struct gw_view annotations)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes value = {0};

    for (size_t i = 0; i < wanted->count; i++)
        if (!object_text(annotations, wanted->items[i].name, &value) ||
            !gw_view_is(gw_bytes_view(&value), wanted->items[i].value))
            return false;
    return true;
}

/* Creation times know no fractions: what was made within the second of the start counts as made after it. */
static bool times_hold(const struct plan *plan, int64_t since_ns, const struct object *object)
{
    int64_t created_ns;

    if (!plan->created_by_given && !plan->after_start)
        return true;
    if (!object_created(object, &created_ns))
        return false;
    return (!plan->created_by_given || created_ns <= plan->created_by_ns) &&
           (!plan->after_start || created_ns >= since_ns - since_ns % GW_NS_PER_S);
}

bool plan_matches(const struct plan *plan, bool others, int64_t since_ns, const char *name,
                  const struct object *object)
{
    return strncmp(name, plan->prefix, strlen(plan->prefix)) == 0 && times_hold(plan, since_ns, object) &&
           annotations_hold(plan->annotations, object->annotations) &&
           selector_fields_hold(&plan->fields, others, object->json);
}

bool plan_is_steady(const struct plan *plan, bool others)
{
    for (size_t i = 0; i < plan->fields.count; i++)
        if (!selector_is_remote(&plan->fields.terms[i], SELECTOR_FIELDS, others))
            return false;
    return plan->annotations->count == 0;
}

/* ---- texts ---- */

void plan_name(const struct plan *plan, struct gw_bytes *out)
{
    gw_bytes_printf(out, "%s%s%s/%s", plan->group, plan->group[0] == '\0' ? "" : "/", plan->version,
                    plan->resource != NULL ? plan->resource : plan->kind);
}

void plan_write(const struct plan *plan, struct gw_bytes *out)
{
    gw_bytes_printf(out, "%s/%s", plan->group, plan->resource != NULL ? plan->resource : plan->kind);
    for (size_t i = 0; i < plan->namespaces_count; i++)
        gw_bytes_printf(out, "\nnamespace %s", plan->namespaces[i]);
    gw_bytes_append_text(out, "\nlabels ");
    selector_write(out, &plan->labels, SELECTOR_LABELS, true);
    gw_bytes_append_text(out, "\nfields ");
    selector_write(out, &plan->fields, SELECTOR_LABELS, true); /* as if all were remote: every term */
    gw_bytes_printf(out, "\nprefix %s\ncreated %lld", plan->prefix,
                    plan->created_by_given ? (long long)plan->created_by_ns : -1);
    for (size_t i = 0; i < plan->annotations->count; i++) {
        gw_bytes_append_text(out, "\nannotation ");
        gw_json_quote(out, gw_view_text(plan->annotations->items[i].name));
        gw_json_quote(out, gw_view_text(plan->annotations->items[i].value));
    }
    for (size_t i = 0; i < plan->changed_count; i++) {
        gw_bytes_append_text(out, "\nchanged");
        for (size_t step = 0; step < plan->changed[i].count; step++) {
            gw_bytes_append_char(out, plan->changed[i].steps[step].all ? '*' : ' ');
            gw_json_quote(out, plan->changed[i].steps[step].name);
        }
    }
}
