/* Kubeconfig files and service accounts: every field, and every fault in words that lead to it. */
#include "common/kube_config.h"

#include "common/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_kube_config.XXXXXX";

/* ---- files ---- */

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % GW_COUNT_OF(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void file_write(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *file_text(const char *name)
{
    static char text[8192];
    FILE *file = fopen(path_of(name), "re");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* Base64 of a file, for …-data. */
static void file_base64(const char *name, char out[static 8192])
{
    GW_AUTO(gw_bytes_done) struct gw_bytes encoded = {0};

    gw_base64_encode(&encoded, gw_view_text(file_text(name)));
    snprintf(out, 8192, "%s", gw_bytes_text(&encoded));
}

static int group_setup(void **state)
{
    char command[1024];

    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(command, sizeof(command),
             "cd %s && for n in one two; do openssl req -x509 -newkey ec -pkeyopt "
             "ec_paramgen_curve:prime256v1 -nodes "
             "-days 2 -subj /CN=$n -keyout $n.key -out $n.crt 2>/dev/null || exit 1; done; mkdir sub && cp "
             "one.crt sub; "
             "printf ' tok-from-file\\n' >token; printf 'two words' >spaced; : >empty; : >sub/plugin",
             directory);
    return system(command);
}

static int group_teardown(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

static int setup(void **state)
{
    (void)state;
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
    unsetenv("KUBECONFIG");
    setenv("HOME", directory, 1);
    return 0;
}

/* ---- reading ---- */

#define SERVER "server: 'https://h:1'"

static int read_text(struct gw_kube_config *config, const char *text, struct gw_reason *reason)
{
    file_write("config", text);
    reason->text[0] = '\0';
    return gw_kube_config_read(config, path_of("config"), NULL, reason);
}

static void config_text(struct gw_bytes *out, const char *cluster, const char *user)
{
    gw_bytes_printf(out,
                    "apiVersion: v1\nkind: Config\n"
                    "clusters:\n- name: c\n  cluster: {%s}\n"
                    "users:\n- name: u\n  user: {%s}\n"
                    "contexts:\n- {name: x, context: {cluster: c, user: u, namespace: shop}}\n"
                    "current-context: x\n",
                    cluster, user);
}

static int read_parts(struct gw_kube_config *config, const char *cluster, const char *user,
                      struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    config_text(&text, cluster, user);
    return read_text(config, gw_bytes_text(&text), reason);
}

static void field_print(struct gw_bytes *out, const char *name, const char *value)
{
    if (value != NULL)
        gw_bytes_printf(out, "%s=%s|", name, value);
}

static void lines_print(struct gw_bytes *out, const char *name, const char *const *lines)
{
    for (; lines != NULL && *lines != NULL; lines++)
        field_print(out, name, *lines);
}

/* All that was read, as one text: what is not there is not in it. */
static const char *config_print(const struct gw_kube_config *config, struct gw_bytes *out)
{
    gw_bytes_clear(out);
    field_print(out, "server", config->server);
    field_print(out, "namespace", config->namespace_);
    field_print(out, "ca_file", config->ca_file);
    field_print(out, "ca_pem", config->ca_pem.size > 0 ? "there" : NULL);
    field_print(out, "server_name", config->server_name);
    field_print(out, "proxy", config->proxy);
    field_print(out, "insecure", config->insecure ? "yes" : NULL);
    field_print(out, "certificate_file", config->certificate_file);
    field_print(out, "key_file", config->key_file);
    field_print(out, "certificate_pem", config->certificate_pem.size > 0 ? "there" : NULL);
    field_print(out, "key_pem", config->key_pem.size > 0 ? "there" : NULL);
    field_print(out, "token", config->token);
    field_print(out, "token_file", config->token_file);
    field_print(out, "username", config->username);
    field_print(out, "password", config->password);
    lines_print(out, "as", config->as);
    if (config->exec != NULL) {
        field_print(out, "command", config->exec->command);
        lines_print(out, "argument", config->exec->arguments);
        lines_print(out, "variable", config->exec->environment);
        field_print(out, "version", config->exec->api_version);
        field_print(out, "hint", config->exec->install_hint);
        field_print(out, "wants", config->exec->wants_cluster ? "cluster" : NULL);
        field_print(out, "config", config->exec->cluster_config);
    }
    return gw_bytes_text(out);
}

/* "@" stands for the directory. */
static const char *at_directory(const char *text, struct gw_bytes *out)
{
    gw_bytes_clear(out);
    for (; *text != '\0'; text++) {
        if (*text == '@')
            gw_bytes_append_text(out, directory);
        else
            gw_bytes_append_char(out, *text);
    }
    return gw_bytes_text(out);
}

/* ---- every field ---- */

#define V1 "apiVersion: client.authentication.k8s.io/v1"

static const struct {
    const char *cluster, *user, *expected;
} fields[] = {
    {SERVER, "", "server=https://h:1|namespace=shop|"},
    {"server: 'https://[fd00::1]:6443/k8s/c-1//'", "",
     "server=https://[fd00::1]:6443/k8s/c-1|namespace=shop|"},
    {"server: 'h:8080'", "", "server=http://h:8080|namespace=shop|"},
    {"server: 'h:6443', insecure-skip-tls-verify: true", "",
     "server=https://h:6443|namespace=shop|insecure=yes|"},
    {SERVER ", certificate-authority: one.crt", "", "server=https://h:1|namespace=shop|ca_file=@/one.crt|"},
    {SERVER ", certificate-authority: @/two.crt", "", "server=https://h:1|namespace=shop|ca_file=@/two.crt|"},
    {SERVER ", certificate-authority: ''", "", "server=https://h:1|namespace=shop|"},
    {SERVER ", tls-server-name: api.example", "",
     "server=https://h:1|namespace=shop|server_name=api.example|"},
    {SERVER ", proxy-url: 'socks5://p:1'", "", "server=https://h:1|namespace=shop|proxy=socks5://p:1|"},
    {SERVER ", disable-compression: true, colour: red", "", "server=https://h:1|namespace=shop|"},
    {SERVER, "token: abc", "server=https://h:1|namespace=shop|token=abc|"},
    {SERVER, "token: abc, tokenFile: token", "server=https://h:1|namespace=shop|token_file=@/token|"},
    {SERVER, "username: u, password: p", "server=https://h:1|namespace=shop|username=u|password=p|"},
    {SERVER, "client-certificate: one.crt, client-key: one.key",
     "server=https://h:1|namespace=shop|certificate_file=@/one.crt|key_file=@/one.key|"},
    {SERVER, "as: jane", "server=https://h:1|namespace=shop|as=Impersonate-User: jane|"},
    {SERVER,
     "token: t, as: jane, as-uid: '7', as-groups: [dev, 'a b'], as-user-extra: {example.com/x y: [1st, 2nd]}",
     "server=https://h:1|namespace=shop|token=t|as=Impersonate-User: jane|as=Impersonate-Uid: 7|"
     "as=Impersonate-Group: dev|as=Impersonate-Group: a b|as=Impersonate-Extra-example.com%2Fx%20y: 1st|"
     "as=Impersonate-Extra-example.com%2Fx%20y: 2nd|"},
    {SERVER
     ", extensions: [{name: other}, {name: client.authentication.k8s.io/exec, extension: {a: [1, true]}}]",
     "exec: {command: sub/plugin, args: [get, '-x'], env: [{name: A, value: b}, {name: C}], " V1
     ", interactiveMode: Never, installHint: 'get it', provideClusterInfo: true}",
     "server=https://h:1|namespace=shop|command=@/sub/"
     "plugin|argument=get|argument=-x|variable=A=b|variable=C=|"
     "version=client.authentication.k8s.io/v1|hint=get it|wants=cluster|config={\"a\":[1,true]}|"},
    {SERVER, "exec: {command: plugin, apiVersion: client.authentication.k8s.io/v1beta1}",
     "server=https://h:1|namespace=shop|command=plugin|version=client.authentication.k8s.io/v1beta1|"},
    {SERVER, "token: t, exec: {command: plugin, apiVersion: client.authentication.k8s.io/v1beta1}",
     "server=https://h:1|namespace=shop|token=t|"},
};

static void every_field_is_read(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes cluster = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes expected = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes printed = {0};
    struct gw_reason reason;

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(fields); i++) {
        struct gw_kube_config config;

        if (read_parts(&config, at_directory(fields[i].cluster, &cluster), fields[i].user, &reason) != 0)
            fail_msg("%zu: %s", i, reason.text);
        assert_string_equal(config_print(&config, &printed), at_directory(fields[i].expected, &expected));
        assert_non_null(strstr(config.origin, "config, context x"));
        gw_kube_config_done(&config);
    }
}

static void data_wins_over_the_file_of_the_same_thing(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes cluster = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes user = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes printed = {0};
    char certificate[8192], key[8192];
    struct gw_kube_config config;
    struct gw_reason reason;

    (void)state;
    file_base64("one.crt", certificate);
    file_base64("one.key", key);
    gw_bytes_printf(&cluster,
                    SERVER ", certificate-authority: /no/such, certificate-authority-data: '%.30s\n  %s'",
                    certificate, certificate + 30);
    gw_bytes_printf(&user,
                    "client-certificate: /no/such, client-certificate-data: %s, client-key: /no/such, "
                    "client-key-data: %s",
                    certificate, key);
    if (read_parts(&config, gw_bytes_text(&cluster), gw_bytes_text(&user), &reason) != 0)
        fail_msg("%s", reason.text);
    assert_string_equal(
        config_print(&config, &printed),
        "server=https://h:1|namespace=shop|ca_pem=there|certificate_pem=there|key_pem=there|");
    assert_true(gw_view_is(config.ca_pem, file_text("one.crt")));
    assert_true(gw_view_is(config.key_pem, file_text("one.key")));
    gw_kube_config_done(&config);
}

/* ---- several files ---- */

static const char *const first_file = "current-context: a\n"
                                      "clusters: [{name: same, cluster: {server: 'https://first:1'}}]\n"
                                      "users: [{name: u, user: {tokenFile: token}}]\n"
                                      "contexts: [{name: a, context: {cluster: same, user: u}}]\n";
static const char *const second_file =
    "{\"current-context\": \"b\", \"clusters\": [{\"name\": \"same\", \"cluster\": {\"server\": "
    "\"https://second:1\", "
    "\"tls-server-name\": \"x\"}}, {\"name\": \"other\", \"cluster\": {\"server\": \"https://other:1\", "
    "\"certificate-authority\": \"one.crt\"}}], \"contexts\": [{\"name\": \"b\", \"context\": {\"cluster\": "
    "\"other\", "
    "\"user\": \"u\", \"namespace\": \"n\"}}]}";

static void read_list(const char *context, const char *expected)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes printed = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes wanted = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes paths = {0};
    struct gw_kube_config config;
    struct gw_reason reason;

    gw_bytes_printf(&paths, "%s:/no/such:%s::%s", path_of("first"), path_of("empty"), path_of("sub/second"));
    if (gw_kube_config_read(&config, gw_bytes_text(&paths), context, &reason) != 0)
        fail_msg("%s", reason.text);
    assert_string_equal(config_print(&config, &printed), at_directory(expected, &wanted));
    gw_kube_config_done(&config);
}

static void of_several_files_the_first_to_name_something_says_all_of_it(void **state)
{
    (void)state;
    file_write("first", first_file);
    file_write("sub/second", second_file);
    read_list(NULL, "server=https://first:1|namespace=default|token_file=@/token|");
    read_list("", "server=https://first:1|namespace=default|token_file=@/token|");
    read_list("b", "server=https://other:1|namespace=n|ca_file=@/sub/one.crt|token_file=@/token|");
}

static void without_a_path_the_environment_leads_to_the_file(void **state)
{
    struct gw_kube_config config;
    struct gw_reason reason = {""};

    (void)state;
    file_write("first", first_file);
    setenv("KUBECONFIG", path_of("first"), 1);
    assert_int_equal(gw_kube_config_read(&config, NULL, NULL, &reason), 0);
    gw_kube_config_done(&config);
    unsetenv("KUBECONFIG");
    assert_int_equal(gw_kube_config_read(&config, NULL, NULL, &reason), -ENOENT);
    assert_non_null(strstr(reason.text, "/.kube/config: there is no such file"));
    assert_int_equal(mkdir(path_of(".kube"), 0700), 0);
    file_write(".kube/config", first_file);
    assert_int_equal(gw_kube_config_read(&config, "", NULL, &reason),
                     -ENOENT); /* the token is not beside it */
    assert_non_null(strstr(reason.text, "/.kube/config line 3: user \"u\": tokenFile: token file "));
    unsetenv("HOME");
    assert_int_equal(gw_kube_config_read(&config, NULL, NULL, &reason), -ENOENT);
    assert_non_null(strstr(reason.text, "no way to the API server"));
}

/* ---- faults ---- */

static const struct {
    const char *cluster, *user, *words;
} wrong[] = {
    {"", "",
     "line 5: cluster \"c\": server: is missing: the URL of the API server, such as https://host:6443"},
    {"server: 'ftp://h'", "", "line 5: cluster \"c\": server: \"ftp://h\" is no URL"},
    {"server: 6443", "", "server: is a number, and must be text: put it in quotes"},
    {"server: [h]", "", "server: is a list, and must be text"},
    {SERVER ", insecure-skip-tls-verify: 'true'", "",
     "insecure-skip-tls-verify: is text, and must be true or false"},
    {SERVER ", disable-compression: 1", "", "disable-compression: is a number, and must be true or false"},
    {SERVER ", certificate-authority: no.crt", "",
     "certificate-authority: @/no.crt: No such file or directory"},
    {SERVER ", certificate-authority: one.key", "", "@/one.key holds no PEM certificate"},
    {SERVER ", certificate-authority-data: '!'", "",
     "certificate-authority-data: is not base64: it must be the PEM"},
    {SERVER ", certificate-authority-data: aGVsbG8=", "",
     "certificate-authority-data: holds no PEM certificate"},
    {SERVER ", certificate-authority: one.crt, insecure-skip-tls-verify: true", "",
     "certificate-authority: cannot be together with insecure-skip-tls-verify"},
    {SERVER ", certificate-authorty: x", "", "there is no such field; certificate-authority is meant?"},
    {SERVER ", proxy-url: 'ftp://p'", "", "proxy-url: must begin with http://, https:// or socks5://"},
    {SERVER, "tokenfile: x", "line 8: user \"u\": tokenfile: there is no such field; tokenFile is meant?"},
    {SERVER, "tokenFile: nowhere", "tokenFile: token file @/nowhere: No such file or directory"},
    {SERVER, "tokenFile: sub", "tokenFile: token file @/sub: Is a directory"},
    {SERVER, "tokenFile: empty", "tokenFile: token file @/empty: is empty"},
    {SERVER, "tokenFile: spaced", "token file @/spaced: holds white space"},
    {SERVER, "token: 'a b'", "token: holds white space or a control character"},
    {SERVER, "token: \"a\\0b\"", "token: holds a NUL character"},
    {SERVER, "token: 12345", "token: is a number, and must be text: put it in quotes"},
    {SERVER, "token: t, username: joe", "username: is there together with a token"},
    {SERVER, "password: p", "password: is there without a username"},
    {SERVER, "client-certificate: one.crt", "client-certificate: @/one.crt is there without a client-key"},
    {SERVER, "client-key: one.key", "client-key: @/one.key is there without a client-certificate"},
    {SERVER, "client-certificate: one.crt, client-key: two.key",
     "@/two.key is not the key of the client certificate"},
    {SERVER, "client-certificate: one.crt, client-key: one.crt",
     "client-key: @/one.crt holds no PEM private key"},
    {SERVER, "client-certificate: one.key, client-key: one.key", "@/one.key holds no PEM certificate"},
    {SERVER, "as-groups: [a]", "as-groups: is there without `as`"},
    {SERVER, "as-uid: a", "as-uid: is there without `as`"},
    {SERVER, "as-user-extra: {a: [b]}", "as-user-extra: is there without `as`"},
    {SERVER, "as: j, as-groups: dev", "as-groups: is text, and must be a list"},
    {SERVER, "as: j, as-groups: [7]", "as-groups: is a number, and must be text"},
    {SERVER, "as: j, as-user-extra: {a: b}", "user \"u\": as-user-extra: a: is text, and must be a list"},
    {SERVER, "as: j, as-user-extra: [a]", "as-user-extra: is a list, and must be a mapping"},
    {SERVER, "as: \"j\\nX: y\"", "as: holds a control character"},
    {SERVER, "auth-provider: {name: gcp}",
     "auth-provider: \"gcp\" is of the past (Kubernetes 1.26 ended it): use exec, "
     "with the program that took its place (gke-gcloud-auth-plugin)"},
    {SERVER, "exec: plugin", "exec: is text, and must be a mapping"},
    {SERVER, "exec: {" V1 "}", "user \"u\": exec: command: is missing"},
    {SERVER, "exec: {command: p}", "exec: apiVersion: is missing: client.authentication.k8s.io/v1 or"},
    {SERVER, "exec: {command: p, apiVersion: client.authentication.k8s.io/v1alpha1}",
     "v1alpha1 is not known here"},
    {SERVER, "exec: {command: p, " V1 "}", "interactiveMode: is missing: Never or IfAvailable"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: Always}", "this program has no terminal to ask at"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: never}",
     "\"never\" is none of Never, IfAvailable, Always"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: Never, args: -x}",
     "args: is text, and must be a list"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: Never, env: {A: b}}",
     "env: is a mapping, and must be a list"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: Never, env: [A]}",
     "env: an entry is text, and must be"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: Never, env: [{value: b}]}", "an entry has no name"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: Never, env: [{name: 'a=b'}]}",
     "an entry has no name that"},
    {SERVER, "exec: {command: p, " V1 ", interactiveMode: Never, arg: [x]}", "no such field; args is meant?"},
};

static void each_fault_is_told_with_its_file_line_and_field(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes words = {0};
    struct gw_reason reason;

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(wrong); i++) {
        struct gw_kube_config config;
        int fault = read_parts(&config, wrong[i].cluster, wrong[i].user, &reason);

        if (fault >= 0 || strstr(reason.text, at_directory(wrong[i].words, &words)) == NULL)
            fail_msg("%zu: %d \"%s\" instead of \"%s\"", i, fault, reason.text, gw_bytes_text(&words));
        assert_int_equal(strncmp(reason.text, "kubeconfig /tmp/test_kube_config.", 33), 0);
        assert_non_null(strstr(reason.text, "/config line "));
        assert_null(strstr(reason.text, "two words"));
    }
}

#define REST                                                                                                 \
    "clusters: [{name: c, cluster: {server: 'https://h'}}]\nusers: [{name: u, user: {}}]\n"                  \
    "contexts: [{name: x, context: {cluster: c, user: u}}]\n"

static const struct {
    const char *text, *words;
} files[] = {
    {"clusters: [\n", "/config: "},
    {"- a\n", "config line 1: is a list, and must be a mapping with clusters, users and contexts"},
    {"kind: Pod\n", "config line 1: kind: is Pod, and that of a kubeconfig is Config"},
    {"kind: Config\napiVersion: v2\n", "config line 2: apiVersion: is v2, and that of a kubeconfig is v1"},
    {"current_context: x\n" REST,
     "line 1: current_context: there is no such field; current-context is meant?"},
    {REST, "no current-context is set, and no context is given; there are x"},
    {"kind: Config\n", "no current-context is set, and no context is given; there is none"},
    {"", "no current-context is set"},
    {"current-context: other\n" REST, "/config: there is no context \"other\"; there are x"},
    {"current-context: 7\n" REST, "line 1: current-context: is a number, and must be text"},
    {"current-context: x\ncontexts: {}\n", "line 2: contexts: is a mapping, and must be a list"},
    {"current-context: x\ncontexts: [7]\n",
     "line 2: contexts: an entry is a number, and must be a mapping with a name"},
    {"current-context: x\ncontexts:\n- context: {}\n", "line 3: contexts: an entry has no name"},
    {"current-context: x\ncontexts:\n- {name: x}\n- {name: x}\n",
     "line 4: contexts: \"x\" is there twice, in line 3 too"},
    {"current-context: x\ncontexts:\n- {name: x, context: a}\n",
     "line 3: context: is text, and must be a mapping"},
    {"current-context: x\ncontexts:\n- {name: x}\n", "line 3: context \"x\": cluster: is missing"},
    {"current-context: x\ncontexts:\n- name: x\n  context:\n    cluster: c\n",
     "line 5: context \"x\": cluster: there is no cluster \"c\" in clusters; there is none"},
    {"current-context: x\nclusters: [{name: c, cluster: {server: 'https://h'}}, {name: d}]\n"
     "contexts:\n- name: x\n  context:\n    cluster: c\n    user: z\n",
     "line 7: context \"x\": user: there is no user \"z\" in users; there is none"},
    {"current-context: x\ncontexts:\n- name: x\n  context:\n    clusters: c\n",
     "line 5: context \"x\": clusters: there is no such field; cluster is meant?"},
};

static void a_file_that_is_half_right_is_refused_in_words(void **state)
{
    struct gw_kube_config config;
    struct gw_reason reason;

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(files); i++) {
        int fault = read_text(&config, files[i].text, &reason);

        if (fault != -EINVAL || strstr(reason.text, files[i].words) == NULL)
            fail_msg("%zu: %d \"%s\" instead of \"%s\"", i, fault, reason.text, files[i].words);
    }
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    struct gw_kube_config config;
    struct gw_reason reason;
    bool root = geteuid() == 0;

    (void)state;
    assert_int_equal(gw_kube_config_read(&config, "/no/a:/no/b", NULL, &reason), -ENOENT);
    assert_string_equal(reason.text, "kubeconfig /no/a:/no/b: there is no such file");
    assert_int_equal(gw_kube_config_read(&config, directory, NULL, &reason), -EISDIR);
    assert_non_null(strstr(reason.text, "Is a directory"));
    assert_int_equal(gw_kube_config_read(&config, "/dev/zero", NULL, &reason), -EFBIG);
    file_write("locked", first_file);
    assert_int_equal(chmod(path_of("locked"), 0), 0);
    if (root) /* may read everything */
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(gw_kube_config_read(&config, path_of("locked"), NULL, &reason), -EACCES);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_non_null(strstr(reason.text, "locked: Permission denied"));
}

/* ---- Pods ---- */

static int read_pod(struct gw_kube_config *config, const char *host, const char *port,
                    struct gw_reason *reason)
{
    return gw_kube_config_read_pod(config, path_of("pod"), host, port, reason);
}

static void a_pod_is_told_by_its_service_account(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes printed = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes expected = {0};
    struct gw_kube_config config;
    struct gw_reason reason = {""};

    (void)state;
    assert_int_equal(mkdir(path_of("pod"), 0700), 0);
    assert_int_equal(read_pod(&config, "10.0.0.1", "443", &reason), -ENOENT);
    assert_non_null(
        strstr(reason.text, "/pod/token: No such file or directory (KUBERNETES_SERVICE_HOST is set; does"));
    file_write("pod/token", "tok\n");
    assert_int_equal(read_pod(&config, "10.0.0.1", "443", &reason), -ENOENT);
    assert_non_null(strstr(reason.text, "/pod/ca.crt: No such file"));
    file_write("pod/ca.crt", "nothing");
    assert_int_equal(read_pod(&config, "10.0.0.1", "443", &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "/pod/ca.crt holds no PEM certificate"));
    file_write("pod/ca.crt", file_text("one.crt"));
    assert_int_equal(read_pod(&config, "10.0.0.1", NULL, &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "KUBERNETES_SERVICE_PORT is not"));
    assert_int_equal(read_pod(&config, "10.0.0.1", "443", &reason), 0);
    assert_true(config.pod);
    assert_string_equal(config_print(&config, &printed),
                        at_directory("server=https://10.0.0.1:443|namespace=default|ca_file=@/pod/ca.crt|"
                                     "token_file=@/pod/token|",
                                     &expected));
    gw_kube_config_done(&config);
    file_write("pod/namespace", "shop\n");
    assert_int_equal(read_pod(&config, "fd00::1", "6443", &reason), 0);
    assert_string_equal(config.server, "https://[fd00::1]:6443");
    assert_string_equal(config.namespace_, "shop");
    gw_kube_config_done(&config);
}

static void a_pods_environment_counts_unless_a_kubeconfig_is_given(void **state)
{
    struct gw_kube_config config;
    struct gw_reason reason = {""};
    int fault;

    (void)state;
    file_write("first", first_file);
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    setenv("KUBECONFIG", path_of("first"), 1);
    fault = gw_kube_config_read(&config, NULL, NULL, &reason);
    if (fault == 0) /* this test runs in a Pod itself */
        gw_kube_config_done(&config);
    else
        assert_int_equal(strncmp(reason.text, "KUBERNETES_SERVICE_HOST is set", 30), 0);
    assert_int_equal(gw_kube_config_read(&config, path_of("first"), NULL, &reason), 0);
    assert_string_equal(config.server, "https://first:1");
    gw_kube_config_done(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_field_is_read, setup),
        cmocka_unit_test_setup(data_wins_over_the_file_of_the_same_thing, setup),
        cmocka_unit_test_setup(of_several_files_the_first_to_name_something_says_all_of_it, setup),
        cmocka_unit_test_setup(without_a_path_the_environment_leads_to_the_file, setup),
        cmocka_unit_test_setup(each_fault_is_told_with_its_file_line_and_field, setup),
        cmocka_unit_test_setup(a_file_that_is_half_right_is_refused_in_words, setup),
        cmocka_unit_test_setup(a_file_that_cannot_be_read_is_named, setup),
        cmocka_unit_test_setup(a_pod_is_told_by_its_service_account, setup),
        cmocka_unit_test_setup(a_pods_environment_counts_unless_a_kubeconfig_is_given, setup),
    };
    return cmocka_run_group_tests_name("kube_config", tests, group_setup, group_teardown);
}
