/* check-server: does it go on where it is told to, and what does it do with a position that is none? */
#include "gateway-client/check/check_server.h"

enum { EVENTS_WANTED = 8 };

static bool mark_same(const struct gwc_mark *a, const struct gwc_mark *b)
{
    if (a->id != 0 && b->id != 0)
        return a->id == b->id;
    return a->position.size > 0 && gw_view_equal(a->position, b->position);
}

/* In the feed, from 0; the count when it is not there. */
static size_t mark_find(const struct gwc_feed *feed, const struct gwc_mark *mark)
{
    size_t index = 0;

    while (index < feed->marks_count && !mark_same(&feed->marks[index], mark))
        index++;
    return index;
}

/* The event whose position is handed back: one with some behind it. The count: there is none. */
static size_t choose(const struct gwc_feed *feed)
{
    size_t chosen = feed->marks_count;

    for (size_t i = 0; i + 1 < feed->marks_count && (chosen == feed->marks_count || i < EVENTS_WANTED / 2);
         i++)
        if (feed->marks[i].position.size > 0)
            chosen = i;
    return chosen;
}

static const char *name_of(const struct gwc_mark *mark)
{
    return mark->id_text[0] != '\0' ? mark->id_text : "(no id)";
}

/* `chosen` of the first feed carried the position that `again` began with. */
static void judge_order(const struct gwc_feed *first, size_t chosen, const struct gwc_feed *again)
{
    struct gwc_check *check = first->check;

    for (size_t i = 0; i < again->marks_count && chosen + 1 + i < first->marks_count; i++) {
        const struct gwc_mark *due = &first->marks[chosen + 1 + i], *came = &again->marks[i];
        if (mark_same(due, came))
            continue;
        if (mark_find(first, came) <= chosen && came->id == 0)
            gwc_check_failed(check, GWC_RULE_POSITION,
                             "with the position of event %llu, one before it comes again, and has no id",
                             (unsigned long long)first->marks[chosen].sequence);
        else if (mark_find(first, came) <= chosen)
            gwc_check_warn(check, GWC_RULE_POSITION, "with the position of event \"%s\", \"%s\" comes again",
                           name_of(&first->marks[chosen]), name_of(came));
        else if (again->noticed_first)
            gwc_check_skip(check, GWC_RULE_POSITION, "\"%s\" is left out, and it says: %s", name_of(due),
                           again->notice);
        else
            gwc_check_failed(check, GWC_RULE_POSITION,
                             "with the position of event \"%s\", \"%s\" is left out: \"%s\" comes",
                             name_of(&first->marks[chosen]), name_of(due), name_of(came));
        return;
    }
    gwc_check_ok(check, GWC_RULE_POSITION, "with the position of event \"%s\", \"%s\" comes first",
                 name_of(&first->marks[chosen]), name_of(&again->marks[0]));
}

static int judge_again(struct gwc_feed *first, size_t chosen)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *again = NULL;
    struct gwc_check *check = first->check;
    const struct gwc_feed_options options = {.position = first->marks[chosen].position};
    bool came;

    GW_TRY(gwc_feed_open(&again, check, &options));
    GW_TRY(gwc_feed_await_events(again, GW_MIN(first->marks_count - chosen - 1, (size_t)EVENTS_WANTED),
                                 gwc_check_until(check), &came));
    if (again->marks_count > 0)
        judge_order(first, chosen, again);
    else if (again->ended || again->noticed)
        gwc_check_skip(check, GWC_RULE_POSITION, "with the position of event \"%s\" %s",
                       name_of(&first->marks[chosen]), gwc_feed_words(again));
    else
        gwc_check_failed(check, GWC_RULE_POSITION,
                         "with the position of event \"%s\", \"%s\" and what follows do not come",
                         name_of(&first->marks[chosen]), name_of(&first->marks[chosen + 1]));
    gwc_feed_judge_error(again);
    return 0;
}

static int judge_position(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *first = NULL;
    bool came;

    GW_TRY(gwc_feed_open(&first, check, &(struct gwc_feed_options){0}));
    GW_TRY(gwc_feed_await_events(first, EVENTS_WANTED, gwc_check_until(check), &came));
    size_t chosen = choose(first);
    if (chosen == first->marks_count) {
        gwc_check_skip(check, GWC_RULE_POSITION,
                       "%llu events came, none of them with a position and another one behind it",
                       (unsigned long long)first->events);
        return 0;
    }
    gwc_feed_acknowledge(first, first->marks[chosen].sequence);
    gwc_talk_cancel(first->talk); /* as a client that is killed */
    return judge_again(first, chosen);
}

static int judge_foreign(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    const struct gwc_feed_options options = {.position = gw_view_text("\xff\xfe check-server: no position")};
    bool runs, came;

    GW_TRY(gwc_feed_open(&feed, check, &options));
    GW_TRY(gwc_feed_await_running(feed, &runs));
    if (runs && !feed->noticed)
        GW_TRY(gwc_feed_await_events(feed, feed->events + 1, gwc_check_settled(check), &came));
    if (feed->noticed)
        gwc_check_ok(check, GWC_RULE_FOREIGN_POSITION, "a notice: %s", feed->notice);
    else if (feed->ended && feed->status != GW_RPC_OK)
        gwc_check_ok(check, GWC_RULE_FOREIGN_POSITION, "%s", gwc_feed_words(feed));
    else if (runs)
        gwc_check_failed(check, GWC_RULE_FOREIGN_POSITION, "it starts without a word about it");
    else
        gwc_check_failed(check, GWC_RULE_FOREIGN_POSITION, "%s", gwc_feed_words(feed));
    gwc_feed_judge_error(feed);
    return 0;
}

int gwc_check_position(struct gwc_check *check)
{
    if (!check->positions_come) {
        const char *words = check->events_come ? "its events have no position" : "no event came";
        gwc_check_skip(check, GWC_RULE_POSITION, "%s", words);
        gwc_check_skip(check, GWC_RULE_FOREIGN_POSITION, "%s", words);
        return 0;
    }
    GW_TRY(judge_position(check));
    return judge_foreign(check);
}
