/* check-server: how streams end: half-closed, replaced by a newer one, cancelled. */
#include "gateway-client/check/check_server.h"

#include <time.h>

enum {
    WITHDRAW_MS = 2000, /* what the contract gives the server */
    HALF_CLOSES_MAX = 3,
};

static int open_running(struct gwc_check *check, const struct gwc_feed_options *options,
                        struct gwc_feed **ret_feed, bool *ret_runs)
{
    GW_TRY(gwc_feed_open(ret_feed, check, options));
    (*ret_feed)->acknowledging = true;
    return gwc_feed_await_running(*ret_feed, ret_runs);
}

/* Half-closes one stream; *ret_judged: there is no more to learn from another one. One that only came late is tried again: its machine
 * may have been busy. */
static int try_half_close(struct gwc_check *check, bool last, bool *ret_judged)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    bool runs, ended;

    *ret_judged = true;
    GW_TRY(open_running(check, &(struct gwc_feed_options){0}, &feed, &runs));
    if (!runs) {
        gwc_check_skip(check, GWC_RULE_HALF_CLOSE, "no stream could be started: %s", gwc_feed_words(feed));
        return 0;
    }
    int64_t began_ms = gw_clock_monotonic_ms();
    gwc_talk_half_close(feed->talk);
    GW_TRY(gwc_feed_await_end(
        feed, gw_clock_monotonic_ms() + GW_MAX(check->options.timeout_ms, (int64_t)WITHDRAW_MS), &ended));
    int64_t took_ms = gw_clock_monotonic_ms() - began_ms;
    if (!ended)
        gwc_check_failed(check, GWC_RULE_HALF_CLOSE, "it was still open after %.1f s",
                         (double)took_ms / 1000);
    else if (feed->status != GW_RPC_OK)
        gwc_check_failed(check, GWC_RULE_HALF_CLOSE, "%s", gwc_feed_words(feed));
    else if (took_ms <= WITHDRAW_MS)
        gwc_check_ok(check, GWC_RULE_HALF_CLOSE, "in %lld ms", (long long)took_ms);
    else if (last)
        gwc_check_failed(check, GWC_RULE_HALF_CLOSE, "it took %.1f s", (double)took_ms / 1000);
    else
        *ret_judged = false;
    return 0;
}

static int judge_half_close(struct gwc_check *check)
{
    bool judged = false;

    for (int tries = 1; !judged; tries++)
        GW_TRY(try_half_close(check, tries == HALF_CLOSES_MAX, &judged));
    return 0;
}

/* Another gateway's event source of the same name leaves this one alone. */
static int judge_other_gateway(struct gwc_feed *feed)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *other = NULL;
    const struct gwc_feed_options options = {.gateway = "check-server-2", .number = 1};
    bool runs, came;

    GW_TRY(open_running(feed->check, &options, &other, &runs));
    GW_TRY(gwc_feed_await_events(feed, UINT64_MAX, gwc_check_settled(feed->check), &came));
    if (feed->ended)
        gwc_check_failed(feed->check, GWC_RULE_REPLACED, "also by one of another gateway with that name: %s",
                         gwc_feed_words(feed));
    else
        gwc_check_ok(feed->check, GWC_RULE_REPLACED, "the older one ends with ABORTED%s",
                     runs ? "; one of another gateway runs beside it" : "");
    return 0;
}

static int judge_replaced(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *older = NULL;
    GW_AUTO(gwc_feed_closep) struct gwc_feed *newer = NULL;
    bool runs, ended;

    GW_TRY(open_running(check, &(struct gwc_feed_options){0}, &older, &runs));
    if (!runs) {
        gwc_check_skip(check, GWC_RULE_REPLACED, "no stream could be started: %s", gwc_feed_words(older));
        return 0;
    }
    GW_TRY(open_running(check, &(struct gwc_feed_options){0}, &newer, &runs));
    GW_TRY(gwc_feed_await_end(older, gwc_check_until(check), &ended));
    gwc_feed_judge_error(older);
    if (!runs) {
        gwc_check_failed(check, GWC_RULE_REPLACED, "the newer one does not run: %s", gwc_feed_words(newer));
        gwc_feed_judge_error(newer);
    } else if (!ended) {
        gwc_check_failed(check, GWC_RULE_REPLACED, "both stay open");
    } else if (older->status != GW_RPC_ABORTED) {
        gwc_check_failed(check, GWC_RULE_REPLACED, "not with ABORTED, the older one: %s",
                         gwc_feed_words(older));
    } else {
        return judge_other_gateway(newer);
    }
    return 0;
}

int gwc_check_end(struct gwc_check *check)
{
    GW_TRY(judge_half_close(check));
    return judge_replaced(check);
}

/* Whether this stream works, as far as its contract lets it be seen: Argo's do not say `started`, one that holds counts. */
static int await_working(struct gwc_feed *feed, bool *ret_works)
{
    bool ended;

    if (feed->check->contract == GWC_CONTRACT_V1 || feed->check->events_come)
        return gwc_feed_await_running(feed, ret_works);
    GW_TRY(gwc_feed_await_end(feed, gwc_check_settled(feed->check), &ended));
    *ret_works = !ended;
    return 0;
}

int gwc_check_cancel(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    GW_AUTO(gwc_feed_closep) struct gwc_feed *again = NULL;
    bool works;

    GW_TRY(gwc_feed_open(&feed, check, &(struct gwc_feed_options){0}));
    GW_TRY(await_working(feed, &works));
    if (!works) { /* it did at first, and streams have been cancelled since */
        gwc_check_failed(check, GWC_RULE_CANCEL, "no stream can be started any more: %s",
                         gwc_feed_words(feed));
        return 0;
    }
    gwc_talk_cancel(feed->talk);
    if (gwc_check_has_failed(check, GWC_RULE_REPLACED)) /* it has to notice the end first; that is known */
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    GW_TRY(gwc_feed_open(&again, check, &(struct gwc_feed_options){0}));
    GW_TRY(await_working(again, &works));
    gwc_feed_judge_error(again);
    if (!works)
        gwc_check_failed(check, GWC_RULE_CANCEL, "after a cancel %s", gwc_feed_words(again));
    else
        gwc_check_ok(check, GWC_RULE_CANCEL, "it runs again");
    return 0;
}
