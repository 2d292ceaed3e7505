/* JSON texts: our scanner and cJSON agree where both apply; walking, quoting and printing keep what was
 * there. */
#include "common/json.h"

#include <cjson/cJSON.h>

enum { CJSON_NUMBER_MAX = 63 }; /* it copies a number into a buffer of 64 */

static bool is_number_byte(char byte)
{
    return byte != '\0' && strchr("0123456789+-.eE", byte) != NULL;
}

/* Texts that cJSON refuses although they are valid: lone surrogates (so all \u), numbers that are very long.
 */
static bool cjson_takes_all(struct gw_view text)
{
    size_t run = 0;

    for (size_t i = 0; i < text.size; i++) {
        run = is_number_byte(text.data[i]) ? run + 1 : 0;
        if (run > CJSON_NUMBER_MAX || (text.data[i] == '\\' && i + 1 < text.size && text.data[i + 1] == 'u'))
            return false;
    }
    return true;
}

static void check_agreement(struct gw_view text, bool valid)
{
    cJSON *item = cJSON_ParseWithLengthOpts(text.data, text.size, NULL, false);

    if (valid && cjson_takes_all(text))
        assert(item != NULL);
    cJSON_Delete(item);
}

static void check_walk(struct gw_view text, unsigned depth)
{
    struct gw_json_walk walk = gw_json_walk(text);
    GW_AUTO(gw_bytes_done) struct gw_bytes plain = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes quoted = {0};

    while (gw_json_next(&walk)) {
        assert(gw_json_valid(walk.value));
        if (walk.open == '{')
            assert(walk.key.data[-1] == '"' && walk.key.data[walk.key.size] == '"');
        if (depth < 8)
            check_walk(walk.value, depth + 1);
    }
    if (walk.open != 0 || !gw_json_unquote(&plain, gw_view_trim(text)))
        return;
    gw_json_quote(&quoted, gw_bytes_view(&plain));
    assert(gw_json_valid(gw_bytes_view(&quoted)));
    gw_bytes_clear(&plain);
    assert(gw_json_unquote(&plain, gw_bytes_view(&quoted)));
}

static void check_document(struct gw_view text)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    const struct gw_node *root = NULL;

    if (gw_json_read(&arena, text, &root, &problems) == 0) {
        gw_json_write_node(&out, root);
        assert(gw_json_valid(gw_bytes_view(&out)));
    } else {
        assert(gw_problems_any(&problems));
    }
}

/* Walks of texts that are not valid: nothing is promised but that it ends within bounds. */
static void walk_anything(struct gw_view text)
{
    struct gw_json_walk walk = gw_json_walk(text);
    size_t steps = 0;

    while (gw_json_next(&walk))
        assert(++steps <= text.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_view text = gw_view(data, size);
    bool valid = gw_json_valid(text);
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    check_agreement(text, valid);
    check_document(text);
    assert(gw_json_pretty(&out, text) == valid);
    if (valid) {
        assert(gw_json_valid(gw_bytes_view(&out)));
        check_walk(text, 0);
    } else {
        walk_anything(text);
    }
    gw_bytes_clear(&out);
    gw_json_quote(&out, text);
    assert(gw_json_valid(gw_bytes_view(&out)));
    return 0;
}
