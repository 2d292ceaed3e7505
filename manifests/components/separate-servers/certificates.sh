#!/bin/sh
# certificates.sh [NAMESPACE [DAYS]]: makes an authority and two certificates with openssl, one for gateway-client, one for the
# gateway-servers, and prints them as the Secrets that this component mounts. The authority's key is not kept: run it again, and
# all are new; mounted Secrets are read again when they change.
#
#     ./certificates.sh gateways | kubectl apply -f -
set -eu
namespace=${1:-gateways}
days=${2:-365}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
cd "$folder"

key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1.key"
}

# certificate NAME EXTENSION...
certificate() {
    name=$1
    shift
    key "$name"
    printf '%s\n' "basicConstraints=critical,CA:false" "keyUsage=critical,digitalSignature" "$@" >"$name.ext"
    openssl req -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
    openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -extfile "$name.ext" \
        -out "$name.crt"
}

encoded() {
    base64 <"$1" | tr -d '\n'
}

secret() {
    cat <<END
---
apiVersion: v1
kind: Secret
metadata:
  name: $1-tls
  namespace: $namespace
type: kubernetes.io/tls
data:
  ca.crt: $(encoded ca.crt)
  tls.crt: $(encoded "$1.crt")
  tls.key: $(encoded "$1.key")
END
}

names=""
for type in calendar webhook resource generic; do
    names="$names,DNS:gateway-server-$type,DNS:gateway-server-$type.$namespace.svc"
done
{
    key ca
    openssl req -x509 -new -key ca.key -days "$days" -subj "/CN=sluice in $namespace" -out ca.crt \
        -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign
    certificate gateway-client extendedKeyUsage=clientAuth
    certificate gateway-servers extendedKeyUsage=serverAuth "subjectAltName=${names#,}"
} 2>log || {
    cat log >&2
    exit 1
}
secret gateway-client
secret gateway-servers
