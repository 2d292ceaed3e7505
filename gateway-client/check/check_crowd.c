/* check-server: many streams at once. */
#include "gateway-client/check/check_server.h"

#include <stdlib.h>

enum {
    CROWD = 100,
    CROWD_CREDIT = 2, /* messages of each that are taken */
    CLOSE_MS = 2000,
};

struct crowd {
    struct gwc_check *check;
    struct gwc_feed *feeds[CROWD];
    size_t running, refused, silent;
    struct gw_reason words; /* of the first that was refused */
};

static int crowd_open(struct crowd *crowd)
{
    for (size_t i = 0; i < CROWD; i++) {
        char *name = gw_arena_printf(&crowd->check->arena, "%s-%zu", crowd->check->options.name, i);
        const struct gwc_feed_options options = {.name = name, .number = (int)i, .credit = CROWD_CREDIT};
        if (name == NULL)
            return GW_RAISE(-ENOMEM);
        GW_TRY(gwc_feed_open(&crowd->feeds[i], crowd->check, &options));
    }
    return 0;
}

/* Argo's contracts say nothing while there is no event; those of a trigger come on one stream only. */
static bool crowd_tells(const struct gwc_check *check)
{
    return check->contract == GWC_CONTRACT_V1 || (check->events_come && check->options.trigger == NULL);
}

static int crowd_look(struct crowd *crowd)
{
    struct gwc_check *check = crowd->check;
    bool tells = crowd_tells(check);
    int64_t until_ms = tells ? gwc_check_until(check) : gwc_check_settled(check);

    for (size_t i = 0; i < CROWD; i++) {
        struct gwc_feed *feed = crowd->feeds[i];
        enum gwc_feed_kind kind = GWC_FEED_OTHER;
        while (feed->starts == 0 && feed->events == 0 && kind != GWC_FEED_ENDED && kind != GWC_FEED_SILENCE)
            GW_TRY(gwc_feed_next(feed, until_ms, &kind));
        if (feed->ended && crowd->refused++ == 0)
            gw_reason_set(&crowd->words, "%s", gwc_feed_words(feed));
        gwc_feed_judge_error(feed);
        crowd->running += !feed->ended && (!tells || feed->starts > 0 || feed->events > 0);
        crowd->silent += !feed->ended && tells && feed->starts == 0 && feed->events == 0 && !feed->noticed;
    }
    return 0;
}

/* In that crowd, is a question still answered? */
static int crowd_ask(struct crowd *crowd, bool *ret_answered)
{
    GW_AUTO(gwc_answer_done) struct gwc_answer answer = {0};
    struct gwc_check *check = crowd->check;

    GW_TRY(gwc_check_ping(check, check->options.timeout_ms, &answer));
    /* who never answers is not the crowd's victim */
    *ret_answered = answer.status != GW_RPC_DEADLINE_EXCEEDED ||
                    gwc_check_has_failed(check, GWC_RULE_ANSWERS) ||
                    gwc_check_has_failed(check, GWC_RULE_UNIMPLEMENTED);
    return 0;
}

static void crowd_judge(struct crowd *crowd, bool answered)
{
    struct gwc_check *check = crowd->check;

    if (crowd->silent > 0)
        gwc_check_failed(check, GWC_RULE_CROWD, "%zu of %d neither ran nor ended within %.1f s",
                         crowd->silent, CROWD, (double)check->options.timeout_ms / 1000);
    else if (!answered)
        gwc_check_failed(check, GWC_RULE_CROWD, "%zu run, but no question is answered meanwhile",
                         crowd->running);
    else if (crowd->running <= 1)
        gwc_check_skip(
            check, GWC_RULE_CROWD,
            "%zu of %d were refused; with ${N} in --config each has its own number. The first one: "
            "%s",
            crowd->refused, CROWD, crowd->words.text);
    else if (!crowd_tells(check) && check->contract == GWC_CONTRACT_GENERIC)
        gwc_check_skip(check, GWC_RULE_CROWD,
                       "%zu are open, but without events nothing tells whether they run", crowd->running);
    else if (crowd->refused > 0)
        gwc_check_ok(check, GWC_RULE_CROWD, "%zu run, %zu were refused. The first of these: %s",
                     crowd->running, crowd->refused, crowd->words.text);
    else
        gwc_check_ok(check, GWC_RULE_CROWD, "%zu run", crowd->running);
}

/* All are told first, so that the waiting is for all of them together. */
static void crowd_close(struct crowd *crowd)
{
    int64_t until_ms = gw_clock_monotonic_ms() + CLOSE_MS;
    bool ended;

    for (size_t i = 0; i < CROWD; i++)
        if (crowd->feeds[i] != NULL && crowd->check->contract == GWC_CONTRACT_V1)
            gwc_talk_half_close(crowd->feeds[i]->talk);
    for (size_t i = 0; i < CROWD; i++)
        if (crowd->feeds[i] != NULL && crowd->check->contract == GWC_CONTRACT_V1)
            (void)!gwc_feed_await_end(crowd->feeds[i], until_ms, &ended);
    for (size_t i = 0; i < CROWD; i++)
        if (crowd->feeds[i] != NULL)
            gwc_talk_cancel(crowd->feeds[i]->talk);
    for (size_t i = 0; i < CROWD; i++)
        gwc_feed_free(crowd->feeds[i]);
}

static int crowd_try(struct crowd *crowd)
{
    bool answered;

    GW_TRY(crowd_open(crowd));
    GW_TRY(crowd_look(crowd));
    GW_TRY(crowd_ask(crowd, &answered));
    crowd_judge(crowd, answered);
    return 0;
}

int gwc_check_crowd(struct gwc_check *check)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));

    if (crowd == NULL)
        return GW_RAISE(-ENOMEM);
    crowd->check = check;
    int fault = crowd_try(crowd);
    crowd_close(crowd);
    free(crowd);
    return fault;
}
