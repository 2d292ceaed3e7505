/* The plan: the difference between two sets of event sources, found in one walk along both, which are sorted.
 */
#include "gateway-client/spec/plan.h"

#include <stdlib.h>
#include <string.h>

static bool source_equal(const struct gwc_source *a, const struct gwc_source *b)
{
    return strcmp(a->key, b->key) == 0 && strcmp(a->type, b->type) == 0 && strcmp(a->name, b->name) == 0 &&
           gw_view_equal(a->config, b->config);
}

static int plan_room(struct gwc_plan *plan, size_t stop_max, size_t start_max)
{
    plan->stop = calloc(stop_max + 1, sizeof(*plan->stop));
    plan->start = calloc(start_max + 1, sizeof(*plan->start));
    return plan->stop == NULL || plan->start == NULL ? GW_RAISE(-ENOMEM) : 0;
}

/* The same key in both, or NULL in the one that does not have it. */
static void plan_pair(struct gwc_plan *plan, const struct gwc_source *old, const struct gwc_source *new)
{
    if (old != NULL && new != NULL && source_equal(old, new)) {
        plan->kept++;
        return;
    }
    if (old != NULL)
        plan->stop[plan->stop_count++] = old;
    if (new != NULL)
        plan->start[plan->start_count++] = new;
}

static void plan_fill(struct gwc_plan *plan, const struct gwc_sources *before,
                      const struct gwc_sources *after)
{
    size_t old_count = before == NULL ? 0 : before->count, i = 0, j = 0;

    while (i < old_count || j < after->count) {
        int order = i == old_count      ? 1
                    : j == after->count ? -1
                                        : strcmp(before->items[i].key, after->items[j].key);

        plan_pair(plan, order <= 0 ? &before->items[i] : NULL, order >= 0 ? &after->items[j] : NULL);
        i += order <= 0;
        j += order >= 0;
    }
}

int gwc_plan_make(struct gwc_plan *ret_plan, const struct gwc_sources *before,
                  const struct gwc_sources *after)
{
    GW_AUTO(gwc_plan_done) struct gwc_plan plan = {0};

    GW_TRY(plan_room(&plan, before == NULL ? 0 : before->count, after->count));
    plan_fill(&plan, before, after);
    *ret_plan = plan;
    plan = (struct gwc_plan){0};
    return 0;
}

void gwc_plan_done(struct gwc_plan *plan)
{
    free(plan->stop);
    free(plan->start);
    *plan = (struct gwc_plan){0};
}
