/* Secrets of the API server: each that was asked for is watched, its values are kept in memory that is wiped. */
#include "common/json.h"
#include "common/kube_watch.h"
#include "common/secrets_parts.h"
#include "common/text.h"

#include <pthread.h>
#include <stdlib.h>

/* Each is a watch, a stream to the API server. */
enum { SECRETS_MAX = 1000 };

struct secret_value {
    char *key;
    struct gw_bytes bytes;
};

enum secret_state {
    SECRET_ASKED,  /* nothing is known yet */
    SECRET_ABSENT, /* the API server says that there is none */
    SECRET_HERE    /* also while the API server is away */
};

struct kube_secret {
    struct kube_secret *next;
    char *name;
    struct gw_kube_watch *watch; /* loop thread */
    /* under the lock */
    enum secret_state state;
    struct secret_value *values;
    size_t values_count;
    char trouble[GW_REASON_MAX]; /* why it cannot be read now; "" when it can */
};

static struct {
    pthread_mutex_t lock; /* of all this; what the loop thread alone writes, it reads without */
    struct gw_kube *kube; /* NULL: not in use */
    char *namespace_;
    void (*changed)(void *user, const char *name);
    void *user;
    struct kube_secret *secrets;
    size_t count;
    struct gw_task task; /* opens the watches of those that are new */
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void store_changed(const struct kube_secret *secret)
{
    if (store.changed != NULL)
        store.changed(store.user, secret->name);
}

/* ---- values ---- */

static void values_free(struct secret_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(values[i].key);
        gw_secret_done(&values[i].bytes);
    }
    free(values);
}

/* Decoded into room made at once: a growing buffer would leave copies behind. */
static bool value_take(struct secret_value *value, struct gw_view key, struct gw_view token)
{
    struct gw_bytes name = {0};

    gw_bytes_append_view(&name, key);
    if (gw_bytes_text(&name) == NULL || gw_bytes_reserve(&value->bytes, token.size + 1) == NULL) {
        gw_bytes_done(&name);
        return false;
    }
    value->key = name.data;
    return token.size >= 2 && gw_base64_decode(&value->bytes, gw_view(token.data + 1, token.size - 2));
}

/* The members of `data`; false: no memory, or they are not base64. */
static bool values_read(struct gw_view data, struct secret_value **ret_values, size_t *ret_count)
{
    struct secret_value *values = NULL;
    size_t count = 0;

    for (struct gw_json_walk walk = gw_json_walk(data); gw_json_next(&walk); count++) {
        struct secret_value *grown = realloc(values, (count + 1) * sizeof(*values));

        if (grown != NULL) {
            values = grown;
            values[count] = (struct secret_value){0};
            if (value_take(&values[count], walk.key, walk.value))
                continue;
        }
        values_free(values, grown != NULL ? count + 1 : count);
        return false;
    }
    *ret_values = values;
    *ret_count = count;
    return true;
}

static struct gw_view data_of(struct gw_view secret)
{
    for (struct gw_json_walk walk = gw_json_walk(secret); gw_json_next(&walk);)
        if (gw_view_is(walk.key, "data"))
            return walk.value;
    return gw_view(NULL, 0);
}

/* ---- watching; loop thread ---- */

static void secret_set(struct kube_secret *secret, enum secret_state state, struct secret_value *values,
                       size_t count)
{
    struct secret_value *old;
    size_t old_count;

    pthread_mutex_lock(&store.lock);
    old = secret->values;
    old_count = secret->values_count;
    secret->state = state;
    secret->values = values;
    secret->values_count = count;
    pthread_mutex_unlock(&store.lock);
    values_free(old, old_count);
    store_changed(secret);
}

static void secret_trouble(struct kube_secret *secret, const char *words)
{
    size_t size = strcspn(words, "\n");
    const char *again = strstr(words, "; next attempt in ");

    /* of the moment, not of when these words will be read */
    if (again != NULL)
        size = (size_t)(again - words);
    size = GW_MIN(size, sizeof(secret->trouble) - 1);
    pthread_mutex_lock(&store.lock);
    memcpy(secret->trouble, words, size);
    secret->trouble[size] = '\0';
    pthread_mutex_unlock(&store.lock);
    if (secret->state == SECRET_ASKED)
        store_changed(secret);
}

static void on_object(void *user, const struct gw_kube_object *object)
{
    struct kube_secret *secret = user;
    struct secret_value *values = NULL;
    size_t count = 0;

    if (object->change == GW_KUBE_DELETED)
        secret_set(secret, SECRET_ABSENT, NULL, 0);
    else if (values_read(data_of(object->json), &values, &count))
        secret_set(secret, SECRET_HERE, values, count);
    else
        secret_trouble(secret, "what the API server sent is not a Secret");
}

static void on_synced(void *user, const char *list_version)
{
    struct kube_secret *secret = user;

    (void)list_version;
    if (secret->state == SECRET_ASKED)
        secret_set(secret, SECRET_ABSENT, NULL, 0);
}

static void on_state(void *user, bool well, const char *words)
{
    struct kube_secret *secret = user;

    if (!well || secret->trouble[0] != '\0')
        secret_trouble(secret, words);
}

static void secret_watch(struct kube_secret *secret)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
    struct gw_kube_watch_options options = {.name = secret->name,
                                            .secret = true,
                                            .object = on_object,
                                            .synced = on_synced,
                                            .state = on_state,
                                            .user = secret};

    gw_bytes_append_text(&path, "/api/v1/namespaces/");
    gw_kube_quote(&path, store.namespace_);
    gw_bytes_append_text(&path, "/secrets");
    options.path = gw_bytes_text(&path);
    if (options.path == NULL || gw_kube_watch_open(&secret->watch, store.kube, &options) < 0)
        secret_trouble(secret, "there is no memory to watch it");
}

static void on_task(struct gw_task *task)
{
    struct kube_secret *first;

    (void)task;
    pthread_mutex_lock(&store.lock);
    first = store.secrets;
    pthread_mutex_unlock(&store.lock);
    for (struct kube_secret *secret = first; secret != NULL && store.kube != NULL; secret = secret->next)
        if (secret->watch == NULL)
            secret_watch(secret);
}

/* ---- reading; any thread, under the lock ---- */

static struct kube_secret *secret_free(struct kube_secret *secret)
{
    gw_kube_watch_close(secret->watch);
    values_free(secret->values, secret->values_count);
    free(secret->name);
    free(secret);
    return NULL;
}

static int secret_add(struct kube_secret **ret_secret, const char *name, struct gw_reason *reason)
{
    struct kube_secret *secret = calloc(1, sizeof(*secret));

    if (secret != NULL)
        secret->name = strdup(name);
    if (secret == NULL || secret->name == NULL) {
        free(secret);
        return GW_RAISE(-ENOMEM);
    }
    if (store.count == SECRETS_MAX) {
        secret_free(secret);
        return GW_REFUSE(-ENOSPC, reason, "secret \"%s\": %d others are watched already, more are not", name,
                         SECRETS_MAX);
    }
    secret->next = store.secrets;
    store.secrets = secret;
    store.count++;
    gw_loop_post(gw_kube_loop(store.kube), &store.task);
    *ret_secret = secret;
    return 0;
}

static int secret_find(struct kube_secret **ret_secret, const char *name, struct gw_reason *reason)
{
    for (struct kube_secret *secret = store.secrets; secret != NULL; secret = secret->next) {
        if (strcmp(secret->name, name) != 0)
            continue;
        *ret_secret = secret;
        return 0;
    }
    return secret_add(ret_secret, name, reason);
}

/* The nearest key that there is, for people who wrote another. */
static int key_absent(const struct kube_secret *secret, const char *key, struct gw_reason *reason)
{
    const char **keys = calloc(secret->values_count + 1, sizeof(*keys));
    const char *nearest;

    if (keys == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < secret->values_count; i++)
        keys[i] = secret->values[i].key;
    nearest = gw_text_nearest(key, keys);
    free(keys);
    if (nearest != NULL)
        return GW_REFUSE(-ENOENT, reason,
                         "secret \"%s\" in namespace \"%s\" has no key \"%s\"; did you mean \"%s\"?",
                         secret->name, store.namespace_, key, nearest);
    return GW_REFUSE(-ENOENT, reason, "secret \"%s\" in namespace \"%s\" has no key \"%s\"", secret->name,
                     store.namespace_, key);
}

static int value_copy(const struct kube_secret *secret, const struct secret_value *value,
                      struct gw_bytes *ret_value, struct gw_reason *reason)
{
    struct gw_bytes copy = {0};

    if (value->bytes.size > GW_SECRET_MAX)
        return GW_REFUSE(-E2BIG, reason, "secret \"%s\", key \"%s\": the value has more than %d bytes",
                         secret->name, value->key, GW_SECRET_MAX);
    if (gw_bytes_reserve(&copy, value->bytes.size + 1) == NULL)
        return GW_RAISE(-ENOMEM);
    gw_bytes_append_view(&copy, gw_bytes_view(&value->bytes));
    *ret_value = copy;
    return 0;
}

static int secret_answer(const struct kube_secret *secret, const char *key, struct gw_bytes *ret_value,
                         struct gw_reason *reason)
{
    if (secret->state == SECRET_ASKED && secret->trouble[0] == '\0')
        return GW_REFUSE(-EAGAIN, reason,
                         "secret \"%s\" in namespace \"%s\" is being read from the API server", secret->name,
                         store.namespace_);
    if (secret->state == SECRET_ASKED)
        return GW_REFUSE(-EACCES, reason, "secret \"%s\" in namespace \"%s\" cannot be read: %s",
                         secret->name, store.namespace_, secret->trouble);
    if (secret->state == SECRET_ABSENT)
        return GW_REFUSE(-ENOENT, reason, "there is no secret \"%s\" in namespace \"%s\"", secret->name,
                         store.namespace_);
    for (size_t i = 0; i < secret->values_count; i++)
        if (strcmp(secret->values[i].key, key) == 0)
            return value_copy(secret, &secret->values[i], ret_value, reason);
    return key_absent(secret, key, reason);
}

static int store_read(const struct gw_setting_secret *reference, struct gw_bytes *ret_value,
                      struct gw_reason *reason)
{
    struct kube_secret *secret = NULL;
    int fault;

    pthread_mutex_lock(&store.lock);
    if (store.kube == NULL)
        fault = GW_REFUSE(-ESHUTDOWN, reason, "secret \"%s\": the program is ending", reference->name);
    else
        fault = secret_find(&secret, reference->name, reason);
    if (fault == 0)
        fault = secret_answer(secret, reference->key, ret_value, reason);
    pthread_mutex_unlock(&store.lock);
    return fault;
}

/* ---- life ---- */

static void store_end(void)
{
    struct kube_secret *secrets;
    char *namespace_;

    pthread_mutex_lock(&store.lock);
    secrets = store.secrets;
    namespace_ = store.namespace_;
    store.secrets = NULL;
    store.count = 0;
    store.kube = NULL;
    store.namespace_ = NULL;
    store.changed = NULL;
    pthread_mutex_unlock(&store.lock);
    free(namespace_);
    while (secrets != NULL) {
        struct kube_secret *secret = secrets;

        secrets = secret->next;
        secret_free(secret);
    }
}

int gw_secrets_use_kube(struct gw_kube *kube, const char *namespace_,
                        void (*changed)(void *user, const char *name), void *user)
{
    char *copy = kube == NULL ? NULL : strdup(namespace_);

    if (kube != NULL && copy == NULL)
        return GW_RAISE(-ENOMEM);
    store_end();
    gw_secrets_set_reader(kube == NULL ? NULL : store_read);
    if (kube == NULL)
        return 0;
    pthread_mutex_lock(&store.lock);
    store.kube = kube;
    store.namespace_ = copy;
    store.changed = changed;
    store.user = user;
    store.task.run = on_task;
    pthread_mutex_unlock(&store.lock);
    return 0;
}
