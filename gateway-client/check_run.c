/* check-server: all groups, in order. */
#include "gateway-client/check_server.h"

static const char number_mark[] = "${N}";

int gwc_check_config(struct gwc_check *check, int number, struct gw_view *ret_config)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    struct gw_view rest = check->options.config;
    const size_t mark = sizeof(number_mark) - 1;

    while (rest.size > 0) {
        const char *found = memmem(rest.data, rest.size, number_mark, mark);
        size_t before = found == NULL ? rest.size : (size_t)(found - rest.data);
        gw_bytes_append(&out, rest.data, before);
        if (found != NULL)
            gw_bytes_printf(&out, "%d", number);
        before += found == NULL ? 0 : mark;
        rest = gw_view(rest.data + before, rest.size - before);
    }
    const char *copy = gw_arena_copy(&check->arena, gw_bytes_view(&out));
    if (out.failed || copy == NULL)
        return GW_RAISE(-ENOMEM);
    *ret_config = gw_view(copy, out.size);
    return 0;
}

static bool has_stream(const struct gwc_check *check)
{
    return check->words.text[0] == '\0';
}

/* The cancel comes last: a server that does not get over it would spoil what follows. */
static int run_newest(struct gwc_check *check)
{
    GW_TRY(gwc_check_validate(check));
    if (has_stream(check))
        GW_TRY(gwc_check_stream(check));
    GW_TRY(gwc_check_refusals(check));
    if (has_stream(check)) {
        GW_TRY(gwc_check_end(check));
        GW_TRY(gwc_check_flow(check));
        GW_TRY(gwc_check_position(check));
    }
    GW_TRY(gwc_check_garbage(check));
    if (has_stream(check)) {
        GW_TRY(gwc_check_crowd(check));
        GW_TRY(gwc_check_cancel(check));
    }
    return 0;
}

static int run_argo(struct gwc_check *check)
{
    if (check->contract != GWC_CONTRACT_GENERIC)
        GW_TRY(gwc_check_validate_argo(check));
    if (has_stream(check))
        GW_TRY(gwc_check_stream_argo(check));
    GW_TRY(gwc_check_garbage(check));
    if (has_stream(check)) {
        GW_TRY(gwc_check_crowd(check));
        GW_TRY(gwc_check_cancel(check));
    }
    return 0;
}

/* What is still without a word. */
static void skip_rest(struct gwc_check *check)
{
    gwc_check_skip(check, GWC_RULE_ERROR_WORDS, "no stream ended with an error");
    gwc_check_skip(check, GWC_RULE_NOTICE_WORDS, "no notice came");
    for (size_t i = 0; i < GWC_RULES; i++)
        gwc_check_skip(check, i, "%s", has_stream(check) ? "it could not be tried" : check->words.text);
}

int gwc_check_run(struct gwc_check *check)
{
    check->type = check->options.type != NULL ? check->options.type : "";
    check->version = "";
    GW_TRY(gwc_check_config(check, 0, &check->config));
    GW_TRY(gwc_check_contract(check));
    if (!check->speaks)
        return 0;
    GW_TRY(gwc_check_methods(check));
    GW_TRY(gwc_check_health(check));
    if (check->contract == GWC_CONTRACT_V1)
        GW_TRY(run_newest(check));
    else
        GW_TRY(run_argo(check));
    skip_rest(check);
    return 0;
}
