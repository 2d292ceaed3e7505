/* gateway-client crd: prints the custom resource definition of Gateways. The spec's schema comes from the tables that read it;
 * the status's is written here, beside what gateway_status.c composes. */
#include "gateway-client/commands/command_line.h"
#include "gateway-client/commands/commands.h"
#include "gateway-client/spec/spec.h"

#include <stdio.h>

enum { SPEC_INDENT = 12 };

static const char head[] =
    "# Printed by gateway-client crd: a test compares them.\n"
    "apiVersion: apiextensions.k8s.io/v1\n"
    "kind: CustomResourceDefinition\n"
    "metadata:\n"
    "  name: gateways.argoproj.io\n"
    "spec:\n"
    "  group: argoproj.io\n"
    "  names:\n"
    "    kind: Gateway\n"
    "    listKind: GatewayList\n"
    "    plural: gateways\n"
    "    singular: gateway\n"
    "    shortNames: [gw]\n"
    "  scope: Namespaced\n"
    "  versions:\n"
    "  - name: v1alpha1\n"
    "    served: true\n"
    "    storage: true\n"
    "    subresources:\n"
    "      status: {}\n"
    "    additionalPrinterColumns:\n"
    "    - {name: Type, type: string, jsonPath: .status.type, description: types of its gateway-servers}\n"
    "    - {name: Sources, type: string, jsonPath: .status.sources, description: event sources that run}\n"
    "    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type==\"Ready\")].status'}\n"
    "    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}\n"
    "    - {name: Watchers, type: string, jsonPath: .status.watchersReachable, priority: 1,\n"
    "       description: watchers that are reached}\n"
    "    - {name: Message, type: string, jsonPath: .status.message, priority: 1}\n"
    "    schema:\n"
    "      openAPIV3Schema:\n"
    "        description: >-\n"
    "          A gateway: event sources, served by gateway-servers, whose events are delivered to watchers.\n"
    "        type: object\n"
    "        required: [spec]\n"
    "        properties:\n"
    "          apiVersion:\n"
    "            description: argoproj.io/v1alpha1\n"
    "            type: string\n"
    "          kind:\n"
    "            description: Gateway\n"
    "            type: string\n"
    "          metadata:\n"
    "            type: object\n"
    "          spec:\n"
    "            description: What the gateway is, with the fields of the file.\n";

/* What a gateway-client writes, and room for what others do. updateTime is nullable because Argo's clients write null.
 * Nodes and watchers are atomic: their thousands of fields have one writer, and need no owner each in managedFields. */
static const char status_counts[] =
    "          status:\n"
    "            description: What the gateway does; written by its gateway-client.\n"
    "            type: object\n"
    "            x-kubernetes-preserve-unknown-fields: true\n"
    "            properties:\n"
    "              phase:\n"
    "                description: Running; Error while something is not well; Completed at its end\n"
    "                type: string\n"
    "              message:\n"
    "                description: why it is in this phase\n"
    "                type: string\n"
    "              startedAt:\n"
    "                description: when the gateway-client began\n"
    "                type: string\n"
    "                format: date-time\n"
    "                nullable: true\n"
    "              observedGeneration:\n"
    "                description: the newest metadata.generation that was judged, in force or refused\n"
    "                type: integer\n"
    "                format: int64\n"
    "              type:\n"
    "                description: the types of its gateway-servers\n"
    "                type: string\n"
    "              sources:\n"
    "                description: event sources, running/all\n"
    "                type: string\n"
    "              watchersReachable:\n"
    "                description: watchers, reachable/all\n"
    "                type: string\n"
    "              nodesOmitted:\n"
    "                description: event sources that are not among the nodes, for want of room\n"
    "                type: integer\n"
    "                format: int64\n";

static const char status_conditions[] =
    "              conditions:\n"
    "                description: Ready, ConfigurationAccepted, SourcesRunning, WatchersReachable\n"
    "                type: array\n"
    "                x-kubernetes-list-type: map\n"
    "                x-kubernetes-list-map-keys: [type]\n"
    "                items:\n"
    "                  type: object\n"
    "                  required: [type, status, lastTransitionTime, reason, message]\n"
    "                  properties:\n"
    "                    type:\n"
    "                      description: what it is about\n"
    "                      type: string\n"
    "                      maxLength: 316\n"
    "                    status:\n"
    "                      description: whether it is so\n"
    "                      type: string\n"
    "                      enum: [\"True\", \"False\", \"Unknown\"]\n"
    "                    observedGeneration:\n"
    "                      description: the metadata.generation that this was seen at\n"
    "                      type: integer\n"
    "                      format: int64\n"
    "                      minimum: 0\n"
    "                    lastTransitionTime:\n"
    "                      description: when its status changed last\n"
    "                      type: string\n"
    "                      format: date-time\n"
    "                    reason:\n"
    "                      description: why, in one word for programs\n"
    "                      type: string\n"
    "                      minLength: 1\n"
    "                      maxLength: 1024\n"
    "                      pattern: ^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$\n"
    "                    message:\n"
    "                      description: why, for people\n"
    "                      type: string\n"
    "                      maxLength: 32768\n";

static const char status_nodes[] =
    "              nodes:\n"
    "                description: the event sources, by id, as in Argo\n"
    "                type: object\n"
    "                x-kubernetes-map-type: atomic\n"
    "                additionalProperties:\n"
    "                  type: object\n"
    "                  x-kubernetes-preserve-unknown-fields: true\n"
    "                  properties:\n"
    "                    id:\n"
    "                      description: changes with the event source's configuration\n"
    "                      type: string\n"
    "                    name:\n"
    "                      description: the event source's key in the ConfigMap\n"
    "                      type: string\n"
    "                    displayName:\n"
    "                      description: the event source's name, without its type\n"
    "                      type: string\n"
    "                    type:\n"
    "                      description: the type of its gateway-server\n"
    "                      type: string\n"
    "                    phase:\n"
    "                      description: Running, Error, or empty while it starts\n"
    "                      type: string\n"
    "                    message:\n"
    "                      description: why it is in this phase\n"
    "                      type: string\n"
    "                    startedAt:\n"
    "                      description: when it began to run; empty while it does not\n"
    "                      type: string\n"
    "                      format: date-time\n"
    "                      nullable: true\n"
    "                    updateTime:\n"
    "                      description: when its phase or message changed last\n"
    "                      type: string\n"
    "                      format: date-time\n"
    "                      nullable: true\n"
    "                    events:\n"
    "                      description: events received since the gateway-client began, some seconds ago\n"
    "                      type: integer\n"
    "                      format: int64\n"
    "                    lastEventTime:\n"
    "                      description: when the last of them came\n"
    "                      type: string\n"
    "                      format: date-time\n"
    "                      nullable: true\n";

static const char status_watchers[] =
    "              watchers:\n"
    "                description: the watchers, by name\n"
    "                type: object\n"
    "                x-kubernetes-map-type: atomic\n"
    "                additionalProperties:\n"
    "                  type: object\n"
    "                  x-kubernetes-preserve-unknown-fields: true\n"
    "                  properties:\n"
    "                    state:\n"
    "                      description: ok, failing, or invalid when it cannot be used\n"
    "                      type: string\n"
    "                    message:\n"
    "                      description: why it is in this state\n"
    "                      type: string\n"
    "                    delivered:\n"
    "                      description: events delivered since the gateway-client began, some seconds ago\n"
    "                      type: integer\n"
    "                      format: int64\n"
    "                    pending:\n"
    "                      description: events that wait for it\n"
    "                      type: integer\n"
    "                      format: int64\n"
    "                    deadLetters:\n"
    "                      description: deliveries that were given up, kept for replay\n"
    "                      type: integer\n"
    "                      format: int64\n";

static int crd_print(void)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    gw_bytes_append_text(&out, head);
    gwc_spec_openapi(SPEC_INDENT, &out);
    gw_bytes_append_text(&out, status_counts);
    gw_bytes_append_text(&out, status_conditions);
    gw_bytes_append_text(&out, status_nodes);
    gw_bytes_append_text(&out, status_watchers);
    const char *text = gw_bytes_text(&out);
    return text != NULL && fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? GW_EXIT_OK : GW_EXIT_FAULT;
}

int gwc_cmd_crd(int argc, char **argv)
{
    static const struct gw_flag flags[] = {{0}};
    int words = 0;
    int ended = gwc_command_line(flags, argc, argv, "Usage: gateway-client crd | kubectl apply -f -", &words);

    if (ended > 0)
        return ended - 1;
    if (words > 0) {
        fprintf(stderr, "gateway-client crd: it takes no words (see --help)\n");
        return GW_EXIT_USAGE;
    }
    return crd_print();
}
