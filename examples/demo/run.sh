#!/bin/sh
# The demo: both gateway-servers, the gateway-client and a listener on this machine, and a few webhook requests.
# Called by ./dev demo. SLUICE_BUILD is the folder with the programs, DEMO_DIR where configuration and state are kept.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${SLUICE_BUILD:-$root/build}
directory=${DEMO_DIR:-$root/.cache/demo}
port_base=9300
seconds=""
pids=""
sockets=""

usage() {
    echo "usage: ./dev demo [--for 20s] [--port-base 9300]"
}

fail() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# "20s", "2m", "20": seconds
to_seconds() {
    case $1 in
    *m) number=${1%m} factor=60 ;;
    *s) number=${1%s} factor=1 ;;
    *) number=$1 factor=1 ;;
    esac
    case $number in
    "" | *[!0-9]*) fail "--for $1: not a time like 20s or 2m" ;;
    esac
    echo $((number * factor))
}

while [ $# -gt 0 ]; do
    case $1 in
    --for=*) seconds=$(to_seconds "${1#*=}") ;;
    --for)
        [ $# -ge 2 ] || fail "--for needs a time like 20s"
        seconds=$(to_seconds "$2")
        shift
        ;;
    --port-base)
        [ $# -ge 2 ] || fail "--port-base needs a number"
        port_base=$2
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
case $port_base in
"" | *[!0-9]*) fail "--port-base $port_base: not a number" ;;
esac

listener=127.0.0.1:$port_base
admin=127.0.0.1:$((port_base + 1))
servers=127.0.0.1:$((port_base + 30))
hook=127.0.0.1:$((port_base + 80))

program() {
    for found in "$build/$1" "$build/gateway-client/$1" "$build/gateway-servers/$1" "$(command -v "$1" || true)"; do
        if [ -f "$found" ] && [ -x "$found" ]; then
            echo "$found"
            return 0
        fi
    done
    fail "$1 is not in $build: ./dev build makes it"
}

# The examples name port 9300 and those above it, and a socket that would be everybody's.
copy_example() {
    sed -e "s/127\.0\.0\.1:9300/$listener/" -e "s/127\.0\.0\.1:9330/$servers/" -e "s/\"9380\"/\"$((port_base + 80))\"/" \
        -e "s|/tmp/sluice-demo|$sockets|" "$root/examples/demo/$1" >"$directory/$1"
}

# start NAME PROGRAM ARGUMENTS: its log goes to NAME.log
start() {
    name=$1
    shift
    "$@" >"$name.out" 2>"$name.log" &
    pids="$! $pids"
    eval "pid_$name=$!"
}

# Interrupts end the shell, and the end of the shell, however it comes, ends what it started: the last one first, so that
# the client can still deliver while it drains.
stop_all() {
    trap - EXIT
    trap '' INT TERM HUP
    for pid in $pids; do
        kill -TERM "$pid" 2>/dev/null || true
        waited=0
        while [ $waited -lt 150 ] && kill -0 "$pid" 2>/dev/null; do
            sleep 0.1
            waited=$((waited + 1))
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    [ -z "$sockets" ] || rm -rf "$sockets"
}
trap 'status=$?; stop_all; exit $status' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

check_alive() {
    for name in calendar webhook client listener; do
        eval "pid=\${pid_$name:-}"
        if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then
            echo "demo: $name has ended; the end of its log:" >&2
            tail -n 20 "$directory/$name.log" >&2
            exit 1
        fi
    done
}

# wait_for WORDS COMMAND…: until the command succeeds, for at most 20 seconds
wait_for() {
    words=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        check_alive
        tries=$((tries + 1))
        [ $tries -le 200 ] || fail "waited 20 seconds for $words; see the logs in $directory"
        sleep 0.1
    done
}

# $1 is appended to the request, so that events differ; 2xx means: on disk
send_order() {
    curl -fsS --noproxy '*' -o /dev/null -X POST -H 'Content-Type: application/json' \
        -d "{\"order\": $1, \"item\": \"anchor\"}" "http://$hook/orders"
}

# How many events of this type the listener printed.
arrived() {
    grep -c "sluice\.$1\." "$directory/listener.out" || true
}

hints() {
    cat <<END

Things to try while it runs, in another terminal:
  * an event of your own:
      curl -d '{"order": 7}' http://$hook/orders
  * change an interval, add a key, break one: only what you change restarts, what is broken is told
      \$EDITOR $directory/event-sources.yaml
  * how every event source and watcher is doing
      $client_program status --admin $admin
      curl http://$admin/metrics
  * kill the client with no warning: that ends the demo, and the next one goes on from there
      kill -9 $pid_client
Logs and state are in $directory. Ctrl-C stops all.

END
}

client_program=$(program gateway-client)
calendar_program=$(program gateway-server-calendar)
webhook_program=$(program gateway-server-webhook)
command -v curl >/dev/null 2>&1 || fail "curl is missing: ./dev setup installs it"

mkdir -p "$directory"
cd "$directory"
rm -f ./*.out ./*.log
# Not in the folder itself: the path of a socket may have 107 bytes only.
sockets=$(mktemp -d)
copy_example gateway.yaml
copy_example event-sources.yaml

echo "demo: starting a listener, two gateway-servers and the gateway-client"
form=--json
[ ! -t 1 ] || form=--pretty
start listener "$client_program" listen --address "$listener" $form
start calendar "$calendar_program" --listen "unix:$sockets/calendar.sock" --admin none
start webhook "$webhook_program" --listen "$servers" --admin none
start client "$client_program" run --gateway gateway.yaml --event-sources event-sources.yaml --state state --admin "$admin"
began=$(date +%s)

order=1
wait_for "the webhook to take a request" send_order $order
echo "demo: the webhook at http://$hook/orders takes requests; CloudEvents as they arrive at the watcher:"
hints

# The listener's lines from the first on, in the foreground of whoever looks.
tail -n +1 -f "$directory/listener.out" &
pids="$! $pids"

while [ $order -lt 3 ]; do
    order=$((order + 1))
    send_order $order
done

while :; do
    check_alive
    if [ -n "$seconds" ] && [ $(($(date +%s) - began)) -ge "$seconds" ]; then
        break
    fi
    sleep 0.5
done

ticks=$(arrived calendar)
orders=$(arrived webhook)
echo "demo: $ticks events of the calendar and $orders of the webhook arrived"
[ "$ticks" -gt 0 ] && [ "$orders" -ge "$order" ] || fail "events of both kinds should have arrived; see the logs in $directory"
