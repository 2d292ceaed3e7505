/* gRPC over TLS: certificates, mutual TLS, names, reload, and what is refused in words. */
#include "rpc_fixture.h"

#include <sys/stat.h>

static char directory[64];

/* Path of a file in the test's directory. */
static const char *file(const char *name)
{
    static char paths[64][128];
    static unsigned next;
    char *path = paths[next++ % 64];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void shell(const char *format, ...)
{
    char script[2048], command[2200];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(script, sizeof(script), format, arguments);
    va_end(arguments);
    snprintf(command, sizeof(command), "cd %s && ( %s ) >/dev/null 2>&1", directory, script);
    assert_int_equal(system(command), 0);
}

static void authority_make(const char *name)
{
    shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out %s.pem "
          "-days 2 "
          "-subj '/CN=%s' -addext basicConstraints=critical,CA:TRUE",
          name, name, name);
}

static void certificate_make(const char *authority, const char *name, const char *alternative)
{
    shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out %s.csr -subj "
          "'/CN=%s' && "
          "printf 'subjectAltName=%s' > %s.ext && "
          "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -out %s.pem -days 2 "
          "-extfile %s.ext",
          name, name, name, alternative, name, name, authority, authority, name, name);
}

static int certificates_make(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/gw-rpc-tls-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return 1;
    authority_make("ca");
    authority_make("other");
    certificate_make("ca", "server", "IP:127.0.0.1,DNS:localhost");
    certificate_make("ca", "named", "DNS:gateway.example");
    certificate_make("ca", "client", "DNS:client");
    certificate_make("other", "stranger", "DNS:client");
    return 0;
}

static int certificates_remove(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

static struct gw_rpc_tls serve_with(const char *name, bool mutual)
{
    char certificate[32], key[32];

    snprintf(certificate, sizeof(certificate), "%s.pem", name);
    snprintf(key, sizeof(key), "%s.key", name);
    return (struct gw_rpc_tls){.certificate_file = file(certificate),
                               .key_file = file(key),
                               .ca_file = mutual ? file("ca.pem") : NULL};
}

static int dial(const struct peer *peer, const struct gw_rpc_tls *tls, char message[static 1024])
{
    char address[32];
    struct dialer dialer;
    struct answer answer;
    int status;

    dialer_open_with(&dialer,
                     &(struct gw_rpc_channel_options){.address = peer_address(address, peer), .tls = *tls});
    status = ask(&answer, dialer.channel, "x");
    snprintf(message, 1024, "%.1000s", answer.message);
    dialer_close(&dialer);
    return status;
}

static void a_certificate_is_checked_against_the_ca_and_the_name(void **state)
{
    struct gw_rpc_tls tls = serve_with("server", false), client = {.ca_file = file("ca.pem")};
    struct peer peer;
    char message[1024];

    (void)state;
    peer_open(&peer, "127.0.0.1:0", &tls);
    assert_int_equal(dial(&peer, &client, message), GW_RPC_OK);
    client.server_name = "localhost";
    assert_int_equal(dial(&peer, &client, message), GW_RPC_OK);
    client.server_name = "no.example";
    assert_int_equal(dial(&peer, &client, message), GW_RPC_UNAVAILABLE);
    assert_non_null(strstr(message, "no.example"));
    client = (struct gw_rpc_tls){.ca_file = file("other.pem")};
    assert_int_equal(dial(&peer, &client, message), GW_RPC_UNAVAILABLE);
    client = (struct gw_rpc_tls){0}; /* plain text */
    assert_int_equal(dial(&peer, &client, message), GW_RPC_UNAVAILABLE);
    client = (struct gw_rpc_tls){.enabled = true}; /* the system's roots do not know our CA */
    assert_int_equal(dial(&peer, &client, message), GW_RPC_UNAVAILABLE);
    client = (struct gw_rpc_tls){.ca_file = file("ca.pem")};
    assert_int_equal(dial(&peer, &client, message), GW_RPC_OK);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static void mutual_tls_lets_only_known_clients_in(void **state)
{
    struct gw_rpc_tls tls = serve_with("server", true), client = {.ca_file = file("ca.pem")};
    struct peer peer;
    char message[1024];

    (void)state;
    peer_open(&peer, "127.0.0.1:0", &tls);
    assert_int_equal(dial(&peer, &client, message), GW_RPC_UNAVAILABLE);
    client = (struct gw_rpc_tls){.ca_file = file("ca.pem"),
                                 .certificate_file = file("stranger.pem"),
                                 .key_file = file("stranger.key")};
    assert_int_equal(dial(&peer, &client, message), GW_RPC_UNAVAILABLE);
    client = (struct gw_rpc_tls){
        .ca_file = file("ca.pem"), .certificate_file = file("client.pem"), .key_file = file("client.key")};
    assert_int_equal(dial(&peer, &client, message), GW_RPC_OK);
    assert_int_equal(peer.opened, 1);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static void a_changed_certificate_is_served_without_a_restart(void **state)
{
    struct gw_rpc_tls tls, client = {.ca_file = file("ca.pem")};
    struct peer peer;
    struct dialer dialer;
    struct listener old = {.endless = true};
    char message[1024], address[32];

    (void)state;
    shell("cp server.pem live.pem && cp server.key live.key");
    tls = serve_with("live", false);
    peer_open(&peer, "127.0.0.1:0", &tls);
    dialer_open_with(&dialer, &(struct gw_rpc_channel_options){.address = peer_address(address, &peer),
                                                               .tls = client});
    watch(&old, dialer.channel, "1 1 0", 10);
    WAIT_FOR(old.messages == 1);
    shell("cp named.pem live.new && mv live.new live.pem"); /* half of the pair: the old one stays */
    assert_int_equal(dial(&peer, &client, message), GW_RPC_OK);
    shell("cp named.key live.new && mv live.new live.key");
    client.server_name = "gateway.example";
    assert_int_equal(dial(&peer, &client, message), GW_RPC_OK);
    client.server_name = "127.0.0.1";
    assert_int_equal(dial(&peer, &client, message), GW_RPC_UNAVAILABLE);
    shell("echo rubbish > live.pem && rm live.key");
    client.server_name = "gateway.example";
    assert_int_equal(dial(&peer, &client, message), GW_RPC_OK);
    assert_true(peer_send(&peer, peer.last, 10) >= 0); /* the stream of before is still there */
    WAIT_FOR(old.messages == 2);
    gw_rpc_stream_free(old.stream);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static void refused(const struct gw_rpc_tls *tls, int fault, const char *word, const char *other_word)
{
    struct peer peer;
    struct gw_reason reason = {""};

    assert_int_equal(peer_try(&peer, "127.0.0.1:0", tls, &reason), fault);
    assert_non_null(strstr(reason.text, word));
    assert_non_null(strstr(reason.text, other_word));
}

static void unusable_files_are_refused_in_words(void **state)
{
    struct gw_rpc_tls tls = serve_with("server", false);
    struct gw_rpc_client *client;
    struct gw_rpc_channel *channel;
    struct gw_rpc_channel_options options = {.address = "127.0.0.1:1", .tls.ca_file = file("rubbish")};
    struct gw_reason reason = {""};

    (void)state;
    shell("echo rubbish > rubbish; openssl ec -in server.key -aes128 -passout pass:x -out locked.key");
    tls.certificate_file = file("missing.pem");
    refused(&tls, -ENOENT, "missing.pem", "No such file");
    tls.certificate_file = file("rubbish");
    refused(&tls, -EINVAL, "rubbish", "no PEM certificate");
    tls = serve_with("server", false);
    tls.key_file = file("locked.key");
    refused(&tls, -EINVAL, "locked.key", "no unencrypted PEM key");
    tls.key_file = file("client.key");
    refused(&tls, -EINVAL, "client.key", "does not belong");
    tls.key_file = NULL;
    refused(&tls, -EINVAL, "server.pem", "without its private key");
    tls = serve_with("server", false);
    tls.ca_file = file("rubbish");
    refused(&tls, -EINVAL, "rubbish", "CA certificates");
    tls = (struct gw_rpc_tls){.ca_file = file("ca.pem")};
    refused(&tls, -EINVAL, "certificate", "private key");
    tls = serve_with("server", false);
    tls.certificate_file = directory;
    refused(&tls, -EINVAL, directory, "cannot be read");

    assert_int_equal(gw_rpc_client_open(&client), 0);
    assert_int_equal(gw_rpc_channel_open(&channel, client, &options, &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "rubbish"));
    gw_rpc_client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_checked_against_the_ca_and_the_name),
        cmocka_unit_test(mutual_tls_lets_only_known_clients_in),
        cmocka_unit_test(a_changed_certificate_is_served_without_a_restart),
        cmocka_unit_test(unusable_files_are_refused_in_words),
    };

    alarm(100);
    return cmocka_run_group_tests(tests, certificates_make, certificates_remove);
}
